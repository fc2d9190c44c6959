"""Keys and values of the sequences being generated: one slot each, rows kept together at the front."""

from __future__ import annotations

import torch
from torch import Tensor

from truing.models.attention import Packed, Rule


class SlotCache:
    """Storage for `slots` sequences of up to `context` tokens. Active slots are 0 … n-1, so that a batch is a view."""

    def __init__(self, slots: int, context: int) -> None:
        self.slots, self.context = slots, context
        self.keys: dict[int, Tensor] = {}  # layer -> [slots, heads, context, width]
        self.values: dict[int, Tensor] = {}

    def room(self, layer: int, key_SGD: Tensor, value_SGD: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's storage, made when its sizes are first seen."""
        if layer not in self.keys:
            for store, new_SGD in ((self.keys, key_SGD), (self.values, value_SGD)):
                _, heads, width = new_SGD.shape
                store[layer] = new_SGD.new_zeros(self.slots, heads, self.context, width)
        return self.keys[layer], self.values[layer]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of one slot over another."""
        for store in (*self.keys.values(), *self.values.values()):
            store[target, :, :length] = store[source, :, :length]


class Prefill:
    """Layout of whole prompts end to end that also keeps their keys and values; each prompt may fill several slots."""

    def __init__(self, cache: SlotCache, lengths: list[int], slots: list[list[int]], device: torch.device) -> None:
        self.cache, self.packed = cache, Packed(lengths, device)
        self.position_S = self.packed.position_S
        self.spans = []
        start = 0
        for length, targets in zip(lengths, slots, strict=True):
            self.spans.append((start, length, targets))
            start += length

    def attend(self, layer: int, query_SHD: Tensor, key_SGD: Tensor, value_SGD: Tensor, rule: Rule) -> Tensor:
        keys, values = self.cache.room(layer, key_SGD, value_SGD)
        for start, length, targets in self.spans:
            here = slice(start, start + length)
            for slot in targets:
                keys[slot, :, :length] = key_SGD[here].transpose(0, 1)
                values[slot, :, :length] = value_SGD[here].transpose(0, 1)
        return self.packed.attend(layer, query_SHD, key_SGD, value_SGD, rule)


class Decode:
    """Layout of one new token for each of the first n slots, seen together with all that its slot already holds."""

    def __init__(self, cache: SlotCache, length_n: Tensor) -> None:
        self.cache, self.position_S = cache, length_n
        self.row_n = torch.arange(len(length_n), device=length_n.device)
        self.used = int(length_n.max()) + 1
        step_T = torch.arange(self.used, device=length_n.device)
        self.age_nT = length_n[:, None] - step_T  # tokens back from the new one; negative: not there
        self.seen = (self.age_nT >= 0)[:, None, None]

    def attend(self, layer: int, query_SHD: Tensor, key_SGD: Tensor, value_SGD: Tensor, rule: Rule) -> Tensor:
        keys, values = self.cache.room(layer, key_SGD, value_SGD)
        keys[self.row_n, :, self.position_S] = key_SGD
        values[self.row_n, :, self.position_S] = value_SGD
        seen = self.seen
        if rule.window is not None and self.used > rule.window:
            seen = seen & (self.age_nT < rule.window)[:, None, None]
        count = len(self.row_n)
        out = rule(query_SHD[:, :, None], keys[:count, :, : self.used], values[:count, :, : self.used], seen)
        return out[:, :, 0]
