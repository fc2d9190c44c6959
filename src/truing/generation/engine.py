"""The local generator: continuous batching. Add prompts, step, collect what is finished."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from truing.errors import UserError
from truing.fault_points import seam
from truing.generation.cache import STEP, Decode, Prefill, SlotCache, rounded
from truing.generation.graphs import Graphs, asks_the_device
from truing.generation.sampling import Sampling, draw, uniforms
from truing.models.forward import trunk
from truing.models.roles import Policy

SLOTS, BAND = 256, 64  # sequences at a time on a processor, and in one band of them
CACHE_BYTES = 2**31  # for keys and values on a processor: a rule of the model's sizes, so that runs repeat
CACHE_SHARE = 0.4  # of an accelerator's memory for them
DRAWN_BYTES = {False: 16, True: 48}  # that drawing takes for each sequence and token of the vocabulary; True: truncated


@dataclass
class InFlight:
    """One response on its way: what was said so far, with the numbers that go with each token."""

    prompt: tuple[int, ...]
    seed: int
    limit: int
    uniforms: list[float]
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    kept: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    finish_reason: str = ""


@dataclass
class Band:
    """Sequences of like length, so that none pays for a longer one: `active[i]` has slot i of the cache."""

    cache: SlotCache
    graphs: Graphs  # of its decoding steps, where they are captured
    active: list[InFlight] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether no slot is free."""
        return len(self.active) == self.cache.slots


class Engine:
    """Samples from a policy. A slot is free as soon as its sequence ends; waiting prompts take it at once.

    A response depends on its prompt, its seed and the weights, not on its neighbours (up to the rounding of matrix
    products of different sizes).
    """

    def __init__(
        self,
        policy: Policy,
        sampling: Sampling,
        end_ids: Sequence[int],
        decode: Callable[[Sequence[int]], str] | None = None,
        slots: int | None = None,
        prefill_tokens: int = 4096,
    ) -> None:
        """`slots`: most sequences at a time. None: as many as pay on a processor, as memory holds on an accelerator."""
        self.policy, self.sampling = policy, sampling
        self.end_ids = frozenset((*end_ids, *sampling.stop_tokens))
        if sampling.stop and decode is None:
            raise ValueError("stop strings need `decode` to see the text")
        self.decode = decode
        self.slots, self.prefill_tokens = slots, prefill_tokens
        self.context = policy.context
        self.device = next(policy.parameters()).device
        self.waiting: deque[InFlight] = deque()
        self.bands: list[Band] = []
        self.longest = 1
        self.captures = self.device.type == "cuda" and not asks_the_device(policy.lm_inside.config)
        self.cache_budget = cache_budget(self.device)

    @property
    def active(self) -> list[InFlight]:
        """All that are being said."""
        return [sequence for band in self.bands for sequence in band.active]

    def add(self, prompt: Sequence[int], seed: int) -> InFlight:
        """Queue one response to a prompt. Ask again with another seed for another response: the prompt is read once."""
        limit = int(min(self.sampling.max_new_tokens, self.context - len(prompt)))
        if limit < 1:
            raise UserError(
                f"a prompt of {len(prompt)} tokens leaves no room in the model's context of {self.context}: shorten it"
            )
        sequence = InFlight(tuple(prompt), seed, limit, uniforms(seed, limit).tolist())
        self.longest = max(self.longest, len(prompt) + limit)
        self.waiting.append(sequence)
        return sequence

    @torch.inference_mode()
    def step(self) -> list[InFlight]:
        """One token for every active sequence, after new ones took the free slots. Returns those that finished."""
        finished, active = self._admit(), self.active
        if active:
            self._say(active, self._decoded([band for band in self.bands if band.active]))
            finished += self._release()
        return finished

    def _decoded(self, bands: list[Band]) -> Tensor:
        """Read the last token of each active sequence: the hidden states there, [n, D]."""
        each_2n = [
            torch.tensor([(s.token_ids[-1], len(s.prompt) + len(s.token_ids) - 1) for s in band.active]).T
            for band in bands
        ]
        if self.captures:
            return torch.cat([band.graphs(*given_2n) for band, given_2n in zip(bands, each_2n, strict=True)])
        token_n, length_n = torch.cat(each_2n, 1).to(self.device)
        return trunk(self.policy.running, token_n, Decode([(band.cache, len(band.active)) for band in bands], length_n))

    def run(self, passed: Callable[[int], object] = lambda done: None) -> None:
        """Step until nothing waits and nothing is active; `passed` is told how many have finished. Long prompts come
        first: neighbours of like length waste the least, and what is left at the end is short."""
        self.waiting = deque(sorted(self.waiting, key=lambda sequence: -len(sequence.prompt)))
        done = 0
        while self.waiting or self.active:
            if finished := len(self.step()):
                done += finished
                passed(done)
            seam("token")

    def _free(self) -> Band | None:
        """A band with a free slot: the last opened, for where long prompts come first what waits now is short."""
        known = next((band for band in reversed(self.bands) if not band.full), None)
        if known is not None:
            return known
        drawn = DRAWN_BYTES[self.sampling.truncates] * len(self.policy.head.weight_VD)
        fitting = self.cache_budget // (rounded(self.longest, STEP) * self.policy.cache_bytes + drawn)
        # An accelerator reads its weights once for all, and calls cost more there than memory: all in one band.
        most, of_a_band = (sys.maxsize, sys.maxsize) if self.captures else (SLOTS, BAND)
        unused = max(1, min(self.slots or most, fitting)) - sum(band.cache.slots for band in self.bands)
        if unused < 1:
            return None
        room = len(self.waiting[0].prompt) + self.waiting[0].limit  # enough for all where long prompts come first
        cache = SlotCache(min(unused, of_a_band, len(self.waiting)), room)
        self.bands.append(Band(cache, Graphs(self.policy.running, cache)))
        return self.bands[-1]

    def _admit(self) -> list[InFlight]:
        """Read waiting prompts into free slots, each distinct prompt once, and say their first tokens."""
        if not self.waiting:
            return []
        self.bands = [band for band in self.bands if band.active]
        chosen: dict[tuple[int, ...], list[tuple[SlotCache, int]]] = {}
        new: list[InFlight] = []
        tokens = 0
        while self.waiting and (band := self._free()) is not None:
            sequence = self.waiting[0]
            if sequence.prompt not in chosen:
                if chosen and tokens + len(sequence.prompt) > self.prefill_tokens:
                    break
                tokens += len(sequence.prompt)
            chosen.setdefault(sequence.prompt, []).append((band.cache, len(band.active)))
            band.active.append(sequence)
            new.append(self.waiting.popleft())
        if not new:
            return []
        lengths = [len(prompt) for prompt in chosen]
        layout = Prefill(lengths, list(chosen.values()), self.device)
        token_S = torch.tensor([i for prompt in chosen for i in prompt], device=self.device)
        hidden_SD = trunk(self.policy.running, token_S, layout)
        number = {prompt: i for i, prompt in enumerate(chosen)}
        self._say(new, hidden_SD[layout.read_R[[number[sequence.prompt] for sequence in new]]])
        return self._release()

    def _say(self, sequences: list[InFlight], hidden_nD: Tensor) -> None:
        """Draw one token for each sequence and note what belongs to it."""
        uniform_n = torch.tensor([s.uniforms[len(s.token_ids)] for s in sequences], device=self.device)
        drawn = draw(self.policy.head.logits(hidden_nD), uniform_n, self.sampling)
        token_n, logp_n, kept_n = (x.tolist() for x in drawn)
        head = self.policy.value_head
        value_n = self.policy.values(hidden_nD).tolist() if head is not None else None
        for i, sequence in enumerate(sequences):
            sequence.token_ids.append(token_n[i])
            sequence.logprobs.append(logp_n[i])
            sequence.kept.append(kept_n[i])
            if value_n is not None:
                sequence.values.append(value_n[i])
            if token_n[i] in self.end_ids or self._reached_stop_text(sequence):
                sequence.finish_reason = "stop"
            elif len(sequence.token_ids) >= sequence.limit:
                sequence.finish_reason = "length"

    def _reached_stop_text(self, sequence: InFlight) -> bool:
        if not self.sampling.stop or self.decode is None:
            return False
        # A token is at least part of a character: this many from the end are sure to cover the longest stop text.
        tail = self.decode(sequence.token_ids[-4 * max(map(len, self.sampling.stop)) - 8 :])
        return any(stop in tail for stop in self.sampling.stop)

    def _release(self) -> list[InFlight]:
        """Take finished sequences out; the last one of the band moves into each hole."""
        finished = [sequence for sequence in self.active if sequence.finish_reason]
        for band in self.bands if finished else ():
            for slot in reversed(range(len(band.active))):
                if band.active[slot].finish_reason:
                    last = band.active.pop()
                    if slot < len(band.active):
                        band.cache.move(len(band.active), slot, len(last.prompt) + len(last.token_ids) - 1)
                        band.active[slot] = last
        return finished


def cache_budget(device: torch.device) -> int:
    """Bytes that keys and values may take on a device."""
    if device.type == "cpu":
        return CACHE_BYTES
    return int(CACHE_SHARE * torch.cuda.get_device_properties(device).total_memory)
