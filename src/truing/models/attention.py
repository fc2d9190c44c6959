"""Attention for transformers' models on flat tokens: sequences lie end to end in one row and never see each other.

Registered with transformers as "truing". A model is called with `layout=`, which says where each sequence lies;
position-wise layers then work on exactly the real tokens, and only attention knows of sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F

NAME = "truing"
SHORT = 64  # keys; below, products in bfloat16 take longer to prepare than to compute in float32
LONGEST_EXPLICIT = 1024  # keys; beyond, a square of logits takes too much memory
BUCKET = 32  # sequences whose lengths share a multiple of this attend in one padded call


class Layout(Protocol):
    """How the tokens of a call attend: `query_SHD`, `key_SGD`, `value_SGD` for H query heads, G key heads.

    It knows of the tokens that have a position; rows behind them are spare (`models.precision.spare`).
    """

    position_S: Tensor

    def attend(self, layer: int, query_SHD: Tensor, key_SGD: Tensor, value_SGD: Tensor, rule: Rule) -> Tensor: ...


class Rule:
    """What an architecture asks of its attention: scale, window of visible tokens, soft cap of the logits."""

    def __init__(self, scaling: float, window: int | None, softcap: float | None) -> None:
        self.scaling, self.window, self.softcap = scaling, window, softcap

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None) -> Tensor:
        """[n, H, Tq, D] over [n, G, Tk, D]; `seen` [n or 1, 1, Tq, Tk] is true where allowed, None means causal."""
        if self.softcap is None and (query.device.type != "cpu" or key.shape[2] > LONGEST_EXPLICIT):
            gqa = key.shape[1] != query.shape[1]
            causal = seen is None
            return F.scaled_dot_product_attention(
                query, key, value, attn_mask=seen, is_causal=causal, scale=self.scaling, enable_gqa=gqa
            )
        return self._explicit(query, key, value, seen)

    def _explicit(self, query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None) -> Tensor:
        """By matrix products: on processors, up to some length, faster than the fused kernel, above all backward."""
        n, heads, steps, _ = query.shape
        groups, known, width = key.shape[1:]
        if query.dtype == torch.bfloat16 and known <= SHORT:
            return self._explicit(query.float(), key.float(), value.float(), seen).to(query.dtype)
        shared = heads // groups  # query heads that read the same keys: rows of one matrix
        hidden = hidden_places(steps, known, query) if seen is None else seen.logical_not()
        bias = torch.zeros(hidden.shape, dtype=query.dtype, device=query.device).masked_fill_(hidden, float("-inf"))
        bias = bias.expand(len(bias), 1, steps, known).repeat(1, 1, shared, 1)
        if len(bias) > 1:
            bias = bias.expand(n, groups, shared * steps, known).reshape(n * groups, shared * steps, known)
        q, k, v = (x.reshape(n * groups, -1, width if x is not value else x.shape[-1]) for x in (query, key, value))
        if self.softcap is None:
            logits = torch.baddbmm(bias[0] if bias.ndim == 4 else bias, q, k.transpose(1, 2), alpha=self.scaling)
        else:
            logits = self.softcap * torch.tanh(torch.bmm(q, k.transpose(1, 2)) * (self.scaling / self.softcap))
            logits = logits + (bias[0] if bias.ndim == 4 else bias)
        return torch.bmm(logits.softmax(-1), v).view(n, heads, steps, -1)


def hidden_places(steps: int, known: int, like: Tensor) -> Tensor:
    """Where causal attention does not look, [1, 1, steps, known]."""
    return torch.ones(steps, known, dtype=torch.bool, device=like.device).triu(known - steps + 1)[None, None]


class Packed:
    """Whole sequences end to end. Grouped by length, so that short ones do not pay for the longest."""

    def __init__(self, lengths: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.position_S = torch.cat([torch.arange(length) for length in lengths]).to(device)
        starts = torch.tensor([0, *lengths[:-1]]).cumsum(0).tolist()
        buckets: dict[int, list[int]] = {}
        for index, length in enumerate(lengths):
            buckets.setdefault(-(-length // BUCKET), []).append(index)
        self.groups: list[Tensor] = []  # [n, T]: places of the tokens, rows padded by repeating their last place
        places = []
        offset = 0
        for members in buckets.values():
            longest = max(lengths[i] for i in members)
            step_T = torch.arange(longest)
            ends = torch.tensor([lengths[i] for i in members])[:, None] - 1
            self.groups.append((torch.tensor([starts[i] for i in members])[:, None] + step_T.minimum(ends)).to(device))
            for row, i in enumerate(members):
                places.append((starts[i], offset + row * longest, lengths[i]))
            offset += len(members) * longest
        # For each token, where its output stands in the groups' outputs laid end to end.
        self.home_S = torch.cat([torch.arange(at, at + length) for _, at, length in sorted(places)]).to(device)
        self.in_place = len(self.groups) == 1 and len(set(lengths)) == 1

    def attend(self, layer: int, query_SHD: Tensor, key_SGD: Tensor, value_SGD: Tensor, rule: Rule) -> Tensor:
        outputs = []
        for place_nT in self.groups:
            rows, longest = place_nT.shape
            q, k, v = (self._rows(x, place_nT).transpose(1, 2) for x in (query_SHD, key_SGD, value_SGD))
            seen = None
            if rule.window is not None and longest > rule.window:
                step = torch.arange(longest, device=q.device)
                distance = step[:, None] - step[None, :]
                seen = ((distance >= 0) & (distance < rule.window))[None, None]
            outputs.append(rule(q, k, v, seen).transpose(1, 2).reshape(rows * longest, *query_SHD.shape[1:]))
        return outputs[0] if self.in_place else torch.cat(outputs).index_select(0, self.home_S)

    def _rows(self, x_SHD: Tensor, place_nT: Tensor) -> Tensor:
        if self.in_place:
            return x_SHD.reshape(*place_nT.shape, *x_SHD.shape[1:])
        return x_SHD.index_select(0, place_nT.flatten()).reshape(*place_nT.shape, *x_SHD.shape[1:])


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
        raise ValueError(
            'a model loaded for truing reads flat tokens: call it through truing, or set its attention to "sdpa"'
        )
    if s_aux is not None or dropout:
        raise NotImplementedError("attention sinks and attention dropout are not supported")
    rule = Rule(query.shape[-1] ** -0.5 if scaling is None else scaling, sliding_window, softcap)
    count, spare = len(layout.position_S), query.shape[2] - len(layout.position_S)
    q, k, v = (x[0, :, :count].transpose(0, 1) for x in (query, key, value))
    output_SHD = layout.attend(module.layer_idx, q, k, v, rule)  # type: ignore[arg-type]
    return (F.pad(output_SHD, (0, 0, 0, 0, 0, spare)) if spare else output_SHD)[None], None


def registered() -> str:
    """The name under which transformers knows this attention from now on."""
    transformers.AttentionInterface.register(NAME, flat_attention)
    return NAME
