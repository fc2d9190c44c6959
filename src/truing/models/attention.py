"""Attention for transformers' models on flat tokens: sequences lie end to end in one row and never see each other.

Registered with transformers as "truing". A model is called with `layout=`, which says where each sequence lies;
position-wise layers then work on exactly the real tokens, and only attention knows of sequences.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Protocol

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F

from truing.errors import UserError
from truing.models.precision import has_amx

NAME = "truing"
SHORT = 64  # keys; below, products in bfloat16 take longer to prepare than to compute in float32
LONGEST_EXPLICIT = 1024  # keys; beyond, a square of logits takes too much memory
LONGEST_LEARNED = 512  # keys; beyond, float32's fused kernel is faster backward too; forward alone, beyond SHORT
BUCKET = 32  # sequences whose lengths share a multiple of this attend in one padded call


class Layout(Protocol):
    """How the tokens of a call attend: `query_SHD`, `key_SGD`, `value_SGD` for H query heads, G key heads.

    It knows of the tokens that have a position; rows behind them are spare (`models.precision.spare`).
    """

    position_S: Tensor

    @property
    def read_R(self) -> Tensor | None:
        """The tokens whose hidden states are read, each once; None: all."""

    def attend(self, layer: int, query_SHD: Tensor, key_SGD: Tensor, value_SGD: Tensor, rule: Rule) -> Tensor: ...


class Rule:
    """What an architecture asks of its attention: scale, window of visible tokens, soft cap of the logits."""

    def __init__(self, scaling: float, window: int | None, softcap: float | None) -> None:
        self.scaling, self.window, self.softcap = scaling, window, softcap

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, mask: Mask | None) -> Tensor:
        """[n, H, Tq, D] over [n, G, Tk, D]; no mask: each query looks at all up to itself, the last one at all."""
        known, steps, grouped = key.shape[2], query.shape[2], key.shape[1] != query.shape[1]
        on_cpu, causal = query.device.type == "cpu", mask is None and steps == known
        # No fused kernel of an accelerator takes both a mask and grouped heads: the keys, most of what decoding reads,
        # would be repeated first.
        fused = known > longest_explicit(query, causal) if on_cpu else steps > 1 or not grouped
        if self.softcap is None and fused:
            if mask is None and not causal:
                mask = Mask.causal(steps, known, query.device)
            return F.scaled_dot_product_attention(
                query, key, value, attn_mask=None if mask is None else mask.seen, is_causal=causal, scale=self.scaling,
                enable_gqa=grouped,
            )  # fmt: skip
        mask = mask or Mask.causal(steps, known, query.device)
        if on_cpu and query.dtype == torch.bfloat16 and known <= SHORT:
            return self._explicit(query.float(), key.float(), value.float(), mask).to(query.dtype)
        return self._explicit(query, key, value, mask)

    def _explicit(self, query: Tensor, key: Tensor, value: Tensor, mask: Mask) -> Tensor:
        """By matrix products: on a processor, up to some length, faster than the fused kernel, above all backward."""
        n, heads, steps, _ = query.shape
        groups, known = key.shape[1:3]
        # Query heads that read the same keys are rows of one matrix.
        q, k, v = (x.reshape(n * groups, -1, x.shape[-1]) for x in (query * self.scaling, key, value))
        logits = torch.bmm(q, k.transpose(1, 2))
        if self.softcap is not None:
            logits = self.softcap * torch.tanh(logits / self.softcap)
        logits = logits.view(n, groups, -1, steps, known) + mask.bias(query.dtype)[:, :, None]
        return torch.bmm(logits.softmax(-1).view(n * groups, -1, known), v).view(n, heads, steps, -1)


def longest_explicit(query: Tensor, causal: bool) -> int:
    """Most keys that attention reads by matrix products on a processor. In float32 the fused kernel is faster forward,
    and backward where it may skip the half that lies ahead of the queries; in bfloat16 forward, with AMX.
    """
    learns = torch.is_grad_enabled()
    if query.dtype == torch.bfloat16 and not learns and has_amx():
        return 0
    if query.dtype == torch.float32 and query.shape[2] > 1 and not learns:
        return SHORT
    return LONGEST_LEARNED if query.dtype == torch.float32 and causal else LONGEST_EXPLICIT


class Mask:
    """Which places look at which: `seen` [n or 1, 1, T, K] is true where allowed."""

    def __init__(self, seen: Tensor) -> None:
        self.seen = seen
        self._bias: Tensor | None = None

    @staticmethod
    def causal(steps: int, known: int, device: torch.device) -> Mask:
        """Each of the last `steps` places looks at all up to itself."""
        return Mask(torch.ones(steps, known, dtype=torch.bool, device=device).tril(known - steps)[None, None])

    def bias(self, dtype: torch.dtype) -> Tensor:
        """What is added to the logits, the same for all layers."""
        if self._bias is None or self._bias.dtype != dtype:
            zero = torch.zeros(self.seen.shape, dtype=dtype, device=self.seen.device)
            self._bias = zero.masked_fill_(self.seen.logical_not(), float("-inf"))
        return self._bias


class Packed:
    """Pieces end to end: whole sequences, or prompts that several responses continue, read once for all of them.

    Grouped by length, so that short ones do not pay for the longest.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        device: torch.device | str = "cpu",
        after: Mapping[int, int] | None = None,
        read_R: Tensor | None = None,
        few_sizes: bool = False,
    ) -> None:
        """`after` says which piece another continues; with `few_sizes` pieces of unlike length attend in calls whose
        length is a multiple of BUCKET, where products ask for that (`models.precision.wants_few_sizes`)."""
        after = after or {}
        self.read_R = None if read_R is None else read_R.to(device)
        self.asked: Counter[int] = Counter()  # by layer, how often
        self.windows: set[int | None] = set()  # that they asked for
        self.numbers: dict[int, int] = {}  # by layer, of a token's keys and values
        known = [lengths[after[i]] if i in after else 0 for i in range(len(lengths))]
        steps = [torch.arange(before, before + own) for before, own in zip(known, lengths, strict=True)]
        self.position_S = torch.cat(steps).to(device)
        starts = [0, *accumulate(lengths)]
        buckets: dict[tuple[int, int], list[int]] = {}
        for i, length in enumerate(lengths):
            buckets.setdefault((-(-known[i] // BUCKET), -(-length // BUCKET)), []).append(i)
        self.groups: list[Group] = []
        home_S = torch.empty(len(self.position_S), dtype=torch.long)
        offset = 0
        for members in buckets.values():
            before = [(starts[after[i]], known[i]) for i in members] if known[members[0]] else []
            own = [(starts[i], lengths[i]) for i in members]
            group = Group(own, before, BUCKET if few_sizes and len({n for _, n in own}) > 1 else 1)
            for row, i in enumerate(members):
                home_S[starts[i] : starts[i + 1]] = torch.arange(lengths[i]) + offset + row * group.longest
            offset += len(members) * group.longest
            self.groups.append(group.to(device))
        self.home_S = home_S.to(device)  # where each token's output stands in the groups' outputs laid end to end
        self.in_place = len(self.groups) == 1 and not after and len(set(lengths)) == 1

    def attend(self, layer: int, query_SHD: Tensor, key_SGD: Tensor, value_SGD: Tensor, rule: Rule) -> Tensor:
        self.asked[layer] += 1
        self.windows.add(rule.window)
        self.numbers[layer] = key_SGD[0].numel() + value_SGD[0].numel()
        outputs = []
        for group in self.groups:
            query = self._rows(query_SHD, group.place_nT)
            key, value = (self._rows(x, group.known_nK) for x in (key_SGD, value_SGD))
            outputs.append(rule(query, key, value, group.mask(rule.window)).transpose(1, 2).flatten(0, 1))
        return outputs[0] if self.in_place else torch.cat(outputs).index_select(0, self.home_S)

    def _rows(self, x_SHD: Tensor, place_nT: Tensor) -> Tensor:
        picked = x_SHD if self.in_place else x_SHD.index_select(0, place_nT.flatten())
        return picked.reshape(*place_nT.shape, *x_SHD.shape[1:]).transpose(1, 2)


class Group:
    """Pieces of like length that attend in one padded call, each to what it continues and to itself."""

    def __init__(self, own: list[tuple[int, int]], before: list[tuple[int, int]], step: int = 1) -> None:
        """Start and length of each piece, and of the piece before it, if any; the call's length is a multiple of
        `step`."""
        self.longest = -(-max(n for _, n in own) // step) * step
        self.most_before = max((n for _, n in before), default=0)
        # Padding repeats a place of the same row: behind its last token, and before its first.
        start_n1, length_n1 = torch.tensor(own).T[:, :, None]
        self.place_nT = start_n1 + torch.arange(self.longest).minimum(length_n1 - 1)  # of the tokens that attend
        self.known_nK = self.place_nT  # of those they look at
        self.gap_n1: Tensor | None = None  # padding before the first, where it is not the same for all
        if before:
            start_n1, length_n1 = torch.tensor(before).T[:, :, None]
            gap_n1 = self.most_before - length_n1
            place_nP = start_n1 + (torch.arange(self.most_before) - gap_n1).clamp_min(0)
            self.known_nK = torch.cat([place_nP, self.place_nT], 1)
            self.gap_n1 = gap_n1 if gap_n1.any() else None
        self.masks: dict[int | None, Mask] = {}

    def to(self, device: torch.device | str) -> Group:
        self.place_nT, self.known_nK = self.place_nT.to(device), self.known_nK.to(device)
        self.gap_n1 = None if self.gap_n1 is None else self.gap_n1.to(device)
        return self

    def mask(self, window: int | None) -> Mask | None:
        """Who looks at what, made once for all layers with this window; None: each at all up to itself."""
        known = self.known_nK.shape[1]
        if self.gap_n1 is None and (window is None or window >= known):
            return None
        if window not in self.masks:
            known_K = torch.arange(known, device=self.known_nK.device)
            distance_TK = torch.arange(self.longest, device=known_K.device)[:, None] + self.most_before - known_K
            seen = ((distance_TK >= 0) & (distance_TK < (known if window is None else window)))[None]
            if self.gap_n1 is not None:
                seen = seen & (known_K >= self.gap_n1)[:, None]
            self.masks[window] = Mask(seen[:, None])
        return self.masks[window]


@torch.compiler.disable  # its sizes differ in each call: layers are compiled up to here and from here on
def flat_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    layout: Layout | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """The function transformers calls in each layer: tensors are [1, heads, S, D], the result [1, S, heads, D]."""
    if layout is None:
        raise UserError(
            f"{type(module).__name__} was not told where sequences lie. An architecture that does not hand that on "
            'cannot be used here; if you called the model yourself, set its attention to "sdpa" first'
        )
    if s_aux is not None or dropout or attention_mask is not None:
        raise UserError(
            f"{type(module).__name__} asks for attention sinks, dropout or a mask of its own: use another model"
        )
    rule = Rule(query.shape[-1] ** -0.5 if scaling is None else scaling, sliding_window, softcap)
    count, spare = len(layout.position_S), query.shape[2] - len(layout.position_S)
    q, k, v = (x[0, :, :count].transpose(0, 1) for x in (query, key, value))
    output_SHD = layout.attend(module.layer_idx, q, k, v, rule)  # type: ignore[arg-type]
    output_SHD = F.pad(output_SHD, (0, 0, 0, 0, 0, spare)) if spare else output_SHD
    return output_SHD.contiguous()[None], None  # one layout always: what is compiled after it asks for that


def registered() -> str:
    """The name under which transformers knows this attention from now on."""
    transformers.AttentionInterface.register(NAME, flat_attention)
    return NAME
