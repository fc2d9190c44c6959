"""Keys and values of the sequences being generated: one slot each, rows kept together at the front."""

from __future__ import annotations

import torch
from torch import Tensor

from truing.maths import ragged
from truing.models.attention import Mask, Packed, Rule
from truing.models.precision import kept_dtype

STEP = 32  # tokens that are made ready at a time
EVEN = 8  # attention reads a multiple of so many tokens: what some kernels of an accelerator ask for


class SlotCache:
    """Storage for `slots` sequences. Active slots are 0 … n-1, so that a batch is a view, and so is what a step reads
    of it: as many tokens as the longest sequence has."""

    def __init__(self, slots: int, capacity: int = STEP) -> None:
        self.slots, self.capacity = slots, rounded(capacity, STEP)
        self.ready = 0  # tokens of each slot that hold numbers: zero times what is no number is no number
        self.keys: dict[int, Tensor] = {}  # layer -> [slots, heads, capacity, width]
        self.values: dict[int, Tensor] = {}

    def fit(self, longest: int) -> None:
        """Make room for sequences of up to so many tokens. On a processor memory is free until written to."""
        if longest > self.capacity:
            self.capacity = rounded(max(longest, 2 * self.capacity), STEP)
            for store in (self.keys, self.values):
                for layer, old in store.items():
                    store[layer] = self._made(old)
                    store[layer][:, :, : self.ready] = old[:, :, : self.ready]
        if longest > self.ready:
            for storage in (*self.keys.values(), *self.values.values()):
                storage[:, :, self.ready : rounded(longest, STEP)] = 0
            self.ready = rounded(longest, STEP)

    def layer(self, layer: int, key_SGD: Tensor, value_SGD: Tensor) -> tuple[Tensor, Tensor]:
        """A layer's storage, made when its sizes are first seen."""
        if layer not in self.keys:
            for store, new_SGD in ((self.keys, key_SGD), (self.values, value_SGD)):
                store[layer] = self._made(new_SGD.to(kept_dtype(new_SGD.dtype, new_SGD.device)).transpose(0, 1)[None])
                store[layer][:, :, : self.ready] = 0
        return self.keys[layer], self.values[layer]

    def _made(self, like: Tensor) -> Tensor:
        return like.new_empty(self.slots, like.shape[1], self.capacity, like.shape[3])

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of one slot over another."""
        for store in (*self.keys.values(), *self.values.values()):
            store[target, :, :length] = store[source, :, :length]


class Prefill:
    """Layout of whole prompts end to end that also keeps their keys and values; each prompt may fill several slots.

    Of hidden states only the last one of each prompt is read.
    """

    def __init__(self, lengths: list[int], slots: list[list[tuple[SlotCache, int]]], device: torch.device) -> None:
        self.packed = Packed(lengths, device)
        self.position_S = self.packed.position_S
        self.read_R = (torch.tensor(lengths).cumsum(0) - 1).to(device)
        parts: dict[SlotCache, list[tuple[int, int, int]]] = {}
        starts = ragged.starts(torch.tensor(lengths)).tolist()
        for start, length, targets in zip(starts, lengths, slots, strict=True):
            for cache, slot in targets:
                parts.setdefault(cache, []).append((start, length, slot))
        self.fills = []  # of each cache: tokens, their slots and places there, [K] each
        for cache, part in parts.items():
            start_n, length_n, slot_n = torch.tensor(part).T
            cache.fit(int(length_n.max()))
            place_K = ragged.position(length_n)
            token_K = ragged.spread(start_n, length_n) + place_K
            self.fills.append((cache, [x.to(device) for x in (token_K, ragged.spread(slot_n, length_n), place_K)]))

    def attend(self, layer: int, query_SHD: Tensor, key_SGD: Tensor, value_SGD: Tensor, rule: Rule) -> Tensor:
        for cache, (token_K, slot_K, place_K) in self.fills:
            for store, new_SGD in zip(cache.layer(layer, key_SGD, value_SGD), (key_SGD, value_SGD), strict=True):
                store[slot_K, :, place_K] = new_SGD.index_select(0, token_K).to(store.dtype)
        return self.packed.attend(layer, query_SHD, key_SGD, value_SGD, rule)


class Decode:
    """Layout of one new token for each of the first slots of some caches, end to end: only attention sees caches."""

    def __init__(self, caches: list[tuple[SlotCache, int]], length_n: Tensor, room: int | None = None) -> None:
        """`length_n`: what each slot holds already. `room`: tokens of a slot that are read, at least one more than the
        longest holds; None: as few as that, which asks the device how long it is."""
        self.position_S, self.read_R = length_n, None
        self.counts = [count for _, count in caches]
        self.parts = [
            _OneCache(cache, part_n, room or rounded(int(part_n.max()) + 1, EVEN))
            for (cache, _), part_n in zip(caches, length_n.split(self.counts), strict=True)
        ]

    def attend(self, layer: int, query_SHD: Tensor, key_SGD: Tensor, value_SGD: Tensor, rule: Rule) -> Tensor:
        split = (x.split(self.counts) for x in (query_SHD, key_SGD, value_SGD))
        outputs = [part.attend(layer, q, k, v, rule) for part, q, k, v in zip(self.parts, *split, strict=True)]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


class _OneCache:
    """New tokens of one cache's sequences, each seen together with all that its slot already holds."""

    def __init__(self, cache: SlotCache, length_n: Tensor, room: int) -> None:
        cache.fit(room)
        self.cache, self.place_n, self.room = cache, length_n, room
        self.row_n = torch.arange(len(length_n), device=length_n.device)
        # Tokens back from the new one; negative: not there.
        self.age_nT = length_n[:, None] - torch.arange(self.room, device=length_n.device)
        self.masks: dict[int | None, Mask] = {}  # by the window of the layers that share it

    def attend(self, layer: int, query_nHD: Tensor, key_nGD: Tensor, value_nGD: Tensor, rule: Rule) -> Tensor:
        keys, values = self.cache.layer(layer, key_nGD, value_nGD)
        keys[self.row_n, :, self.place_n] = key_nGD.to(keys.dtype)
        values[self.row_n, :, self.place_n] = value_nGD.to(values.dtype)
        if rule.window not in self.masks:
            seen = (self.age_nT >= 0) & (self.age_nT < (self.room if rule.window is None else rule.window))
            self.masks[rule.window] = Mask(seen[:, None, None])
        mask, count = self.masks[rule.window], len(self.row_n)
        known, held = (store[:count, :, : self.room] for store in (keys, values))
        return rule(query_nHD[:, :, None].to(keys.dtype), known, held, mask)[:, :, 0].to(query_nHD.dtype)


def rounded(count: int, step: int) -> int:
    """The next multiple."""
    return -(-count // step) * step
