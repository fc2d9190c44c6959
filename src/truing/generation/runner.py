"""Reads prompts and new tokens with the policy's network, and holds the keys and values of what is on its way."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from truing.generation.cache import STEP, Decode, Prefill, SlotCache, rounded
from truing.generation.graphs import Graphs, asks_the_device
from truing.generation.scheduler import Admitted, Band, Limits, Move
from truing.models.forward import trunk
from truing.models.roles import Policy

SLOTS, BAND = 256, 64  # sequences at a time on a processor, and in one band of them
CACHE_BYTES = 2**31  # for keys and values on a processor: a rule of the model's sizes, so that runs repeat
CACHE_SHARE = 0.4  # of an accelerator's memory for them
DRAWN_BYTES = {False: 16, True: 48}  # that drawing takes for each sequence and token of the vocabulary; True: truncated


class Storage(NamedTuple):
    """Of one band."""

    cache: SlotCache
    graphs: Graphs  # of its decoding steps, where they are captured


class Runner:
    """Hidden states of the tokens whose successors are drawn next."""

    def __init__(self, policy: Policy) -> None:
        self.policy, self.device = policy, policy.device
        self.captures = self.device.type == "cuda" and not asks_the_device(policy.lm_inside.config)
        self.cache_budget = cache_budget(self.device)
        self.storage: dict[Band, Storage] = {}

    def limits(self, slots: int | None, truncates: bool, longest: int) -> Limits:
        """How many sequences of up to `longest` tokens memory holds, and pay: at most `slots` where that is given."""
        drawn = DRAWN_BYTES[truncates] * len(self.policy.head.weight_VD)
        fitting = self.cache_budget // (rounded(longest, STEP) * self.policy.cache_bytes + drawn)
        # An accelerator reads its weights once for all, and calls cost more there than memory: all in one band.
        most, of_a_band = (sys.maxsize, sys.maxsize) if self.captures else (SLOTS, BAND)
        return Limits(max(1, min(slots or most, fitting)), of_a_band)

    def prefill(self, admitted: Sequence[Admitted]) -> Tensor:
        """Read their prompts into their slots, each distinct prompt once: the last hidden state of each, [n, D]."""
        self.storage = {band: storage for band, storage in self.storage.items() if band.active}
        chosen: dict[tuple[int, ...], list[tuple[SlotCache, int]]] = {}
        for sequence, band, slot in admitted:
            chosen.setdefault(sequence.prompt, []).append((self._storage(band).cache, slot))
        layout = Prefill([len(prompt) for prompt in chosen], list(chosen.values()), self.device)
        token_S = torch.tensor([i for prompt in chosen for i in prompt], device=self.device)
        hidden_SD = trunk(self.policy.running, token_S, layout)
        number = {prompt: i for i, prompt in enumerate(chosen)}
        return hidden_SD[layout.read_R[[number[sequence.prompt] for sequence, _, _ in admitted]]]

    def decode(self, bands: Sequence[Band]) -> Tensor:
        """Read the last token of each active sequence of these bands: the hidden states there, [n, D]."""
        each_2n = [torch.tensor([(s.token_ids[-1], s.length - 1) for s in band.active]).T for band in bands]
        if self.captures:
            pairs = zip(bands, each_2n, strict=True)
            return torch.cat([self.storage[band].graphs(*given_2n) for band, given_2n in pairs])
        token_n, length_n = torch.cat(each_2n, 1).to(self.device)
        caches = [(self.storage[band].cache, len(band.active)) for band in bands]
        return trunk(self.policy.running, token_n, Decode(caches, length_n))

    def move(self, moves: Sequence[Move]) -> None:
        """Copy keys and values from slot to slot, one move after another."""
        for band, source, target, length in moves:
            self.storage[band].cache.move(source, target, length)

    def _storage(self, band: Band) -> Storage:
        if band not in self.storage:
            cache = SlotCache(band.slots, band.room)
            self.storage[band] = Storage(cache, Graphs(self.policy.running, cache))
        return self.storage[band]


def cache_budget(device: torch.device) -> int:
    """Bytes that keys and values may take on a device."""
    if device.type == "cpu":
        return CACHE_BYTES
    return int(CACHE_SHARE * torch.cuda.get_device_properties(device).total_memory)
