"""Keys and values of the sequences being generated: one slot each, rows kept together at the front."""

from __future__ import annotations

import torch
from torch import Tensor

from truing.models.attention import Packed, Rule
from truing.models.precision import kept_dtype

STEP = 32  # tokens by which the room of all slots grows and shrinks


class SlotCache:
    """Storage for `slots` sequences. Active slots are 0 … n-1, so that a batch is a view.

    `room` tokens fit into each slot now: little more than the longest sequence has. What attention reads is then one
    block of memory; a slice of larger slots would be copied by every matrix product.
    """

    def __init__(self, slots: int) -> None:
        self.slots, self.room = slots, 0
        self.keys: dict[int, Tensor] = {}  # layer -> [slots, heads, room, width]
        self.values: dict[int, Tensor] = {}
        self._blocks: dict[tuple[bool, int], Tensor] = {}  # the memory behind them, larger than what is used now

    def fit(self, longest: int, shrinks: bool = False) -> None:
        """Make room for sequences of up to so many tokens; if it `shrinks`, give room back that nobody needs."""
        room = -(-longest // STEP) * STEP
        if self.room < room or (shrinks and room + STEP < self.room):
            kept, self.room = min(room, self.room), room
            for store in (self.keys, self.values):
                for layer, old in store.items():
                    known = old[:, :, :kept].clone()  # it moves within the same memory
                    store[layer] = self._shaped(store is self.keys, layer, old)
                    store[layer][:, :, :kept] = known
                    store[layer][:, :, kept:] = 0  # not anything: zero times what is no number is no number

    def layer(self, layer: int, key_SGD: Tensor, value_SGD: Tensor) -> tuple[Tensor, Tensor]:
        """A layer's storage, made when its sizes are first seen."""
        if layer not in self.keys:
            for store, new_SGD in ((self.keys, key_SGD), (self.values, value_SGD)):
                like = new_SGD.to(kept_dtype(new_SGD.dtype, new_SGD.device)).transpose(0, 1)[None]
                store[layer] = self._shaped(store is self.keys, layer, like).zero_()
        return self.keys[layer], self.values[layer]

    def _shaped(self, is_key: bool, layer: int, like: Tensor) -> Tensor:
        """A layer's storage for the room there is now, [slots, heads, room, width], its contents undefined.

        A block is twice as large as needed when it is made: memory that nobody has written to costs nothing, and a
        block that must grow often would leave holes in the heap that nothing else fits into.
        """
        heads, width = like.shape[1], like.shape[3]
        needed = self.slots * heads * self.room * width
        block = self._blocks.get((is_key, layer))
        if block is None or len(block) < needed:
            block = self._blocks[is_key, layer] = like.new_empty(2 * needed if like.device.type == "cpu" else needed)
        return block[:needed].view(self.slots, heads, self.room, width)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of one slot over another."""
        for store in (*self.keys.values(), *self.values.values()):
            store[target, :, :length] = store[source, :, :length]


class Prefill:
    """Layout of whole prompts end to end that also keeps their keys and values; each prompt may fill several slots."""

    def __init__(self, lengths: list[int], slots: list[list[tuple[SlotCache, int]]], device: torch.device) -> None:
        self.packed = Packed(lengths, device)
        self.position_S = self.packed.position_S
        self.spans = []
        start = 0
        for length, targets in zip(lengths, slots, strict=True):
            self.spans.append((start, length, targets))
            start += length
            for cache, _ in targets:
                cache.fit(length)

    def attend(self, layer: int, query_SHD: Tensor, key_SGD: Tensor, value_SGD: Tensor, rule: Rule) -> Tensor:
        for start, length, targets in self.spans:
            here = slice(start, start + length)
            for cache, slot in targets:
                keys, values = cache.layer(layer, key_SGD, value_SGD)
                keys[slot, :, :length] = key_SGD[here].transpose(0, 1)
                values[slot, :, :length] = value_SGD[here].transpose(0, 1)
        return self.packed.attend(layer, query_SHD, key_SGD, value_SGD, rule)


class Decode:
    """Layout of one new token for each of the first slots of some caches, end to end: only attention sees caches."""

    def __init__(self, caches: list[tuple[SlotCache, int]], length_n: Tensor) -> None:
        self.position_S = length_n
        self.counts = [count for _, count in caches]
        self.parts = [
            _OneCache(cache, part_n) for (cache, _), part_n in zip(caches, length_n.split(self.counts), strict=True)
        ]

    def attend(self, layer: int, query_SHD: Tensor, key_SGD: Tensor, value_SGD: Tensor, rule: Rule) -> Tensor:
        split = (x.split(self.counts) for x in (query_SHD, key_SGD, value_SGD))
        outputs = [part.attend(layer, q, k, v, rule) for part, q, k, v in zip(self.parts, *split, strict=True)]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


class _OneCache:
    """New tokens of one cache's sequences, each seen together with all that its slot already holds."""

    def __init__(self, cache: SlotCache, length_n: Tensor) -> None:
        cache.fit(int(length_n.max()) + 1, shrinks=True)
        self.cache, self.place_n = cache, length_n
        self.row_n = torch.arange(len(length_n), device=length_n.device)
        # Tokens back from the new one; negative: not there.
        self.age_nT = length_n[:, None] - torch.arange(cache.room, device=length_n.device)
        self.seen = (self.age_nT >= 0)[:, None, None]

    def attend(self, layer: int, query_nHD: Tensor, key_nGD: Tensor, value_nGD: Tensor, rule: Rule) -> Tensor:
        keys, values = self.cache.layer(layer, key_nGD, value_nGD)
        keys[self.row_n, :, self.place_n] = key_nGD.to(keys.dtype)
        values[self.row_n, :, self.place_n] = value_nGD.to(values.dtype)
        seen = self.seen
        if rule.window is not None and self.cache.room > rule.window:
            seen = seen & (self.age_nT < rule.window)[:, None, None]
        count = len(self.row_n)
        said = rule(query_nHD[:, :, None].to(keys.dtype), keys[:count], values[:count], seen)
        return said[:, :, 0].to(query_nHD.dtype)
