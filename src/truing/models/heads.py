"""From hidden states to log-probs, entropy and exact KL, chunk by chunk: a [tokens, vocabulary] tensor never exists.

Each function here is differentiable in the hidden states and the vocabulary matrix. The forward pass keeps the hidden
states, one log-normaliser a token, and of the probabilities as many as fit in a fixed amount of memory; the backward
pass makes the others again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from truing.models.precision import spare

CHUNK_NUMBERS = {"cpu": 2**20, "cuda": 2**26}  # logits alive at a time: what a cache holds; what fills many cores
STRIP = 1024  # of the vocabulary, in a product of few rows
KEPT_NUMBERS = {"cpu": 2**26, "cuda": 2**28}  # probabilities kept for the backward pass; the rest is computed twice


@dataclass(frozen=True)
class VocabularyHead:
    """How an architecture makes logits: `softcap * tanh((hidden @ weight.T + bias) * scale / softcap)`."""

    weight_VD: Tensor
    bias_V: Tensor | None = None
    scale: float = 1.0
    softcap: float | None = None

    def logits(self, hidden_ND: Tensor, block: slice = slice(None)) -> Tensor:
        """Logits [N, V] of all tokens or a block of them, as wide as the weights are: for sampling, and for chunks."""
        bias_V = None if self.bias_V is None else self.bias_V[block]
        logit_NV = _linear(_even(hidden_ND), self.weight_VD[block], bias_V)[: len(hidden_ND)]
        if self.scale != 1.0:
            logit_NV = logit_NV * self.scale
        return logit_NV if self.softcap is None else self.softcap * torch.tanh(logit_NV / self.softcap)


def _linear(hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None) -> Tensor:
    """`hidden @ weight.T + bias`. In float32 on a processor strip by strip: with few rows, as in sampling, that is
    faster than all of the vocabulary in one product."""
    if hidden_ND.device.type != "cpu" or hidden_ND.dtype != torch.float32 or torch.is_grad_enabled():
        return functional.linear(hidden_ND, weight_VD, bias_V)
    logit_NV = hidden_ND.new_empty(len(hidden_ND), len(weight_VD))
    for start in range(0, len(weight_VD), STRIP):
        strip = slice(start, start + STRIP)
        if bias_V is None:
            torch.mm(hidden_ND, weight_VD[strip].T, out=logit_NV[:, strip])
        else:
            torch.addmm(bias_V[strip], hidden_ND, weight_VD[strip].T, out=logit_NV[:, strip])
    return logit_NV


def logprobs(head: VocabularyHead, hidden_ND: Tensor, token_N: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-prob of each token [N], in nats, at this temperature. d logp_t / dz_j = 1[j = t] - p_j."""
    return _of_tokens(head, hidden_ND, token_N, temperature, wants_entropy=False)[0]


def logprobs_and_entropy(
    head: VocabularyHead, hidden_ND: Tensor, token_N: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Log-prob of each token [N] and entropy of its distribution [N], in nats, at this temperature.

    d logp_t / dz_j = 1[j = t] - p_j, and d H / dz_j = -p_j (log p_j + H).
    """
    return _of_tokens(head, hidden_ND, token_N, temperature, wants_entropy=True)


def _of_tokens(
    head: VocabularyHead, hidden_ND: Tensor, token_N: Tensor, temperature: float, wants_entropy: bool
) -> tuple[Tensor, Tensor]:
    even_ND, even_N = _even(hidden_ND), _even(token_N, hidden_ND)
    logp_N, entropy_N = _Logprobs.apply(
        even_ND, head.weight_VD, head.bias_V, even_N, head, temperature, wants_entropy, torch.is_grad_enabled()
    )
    return logp_N[: len(token_N)], entropy_N[: len(token_N)]


def _even(x_N: Tensor, like: Tensor | None = None) -> Tensor:
    """With rows of zeros behind it so that there are few different numbers of rows, where products ask for that."""
    rows = spare(len(x_N), x_N if like is None else like)
    return functional.pad(x_N, (0, 0) * (x_N.ndim - 1) + (0, rows)) if rows else x_N


def exact_kl(
    head: VocabularyHead, hidden_ND: Tensor, reference: VocabularyHead, ref_hidden_ND: Tensor, temperature: float = 1.0
) -> Tensor:
    """KL(policy || reference) summed over the whole vocabulary for each token, [N]; no gradient into the reference.

    d KL / dz_j = p_j (log p_j - log q_j - KL).
    """
    return _ExactKL.apply(hidden_ND, head.weight_VD, head.bias_V, ref_hidden_ND, head, reference, temperature)


def _accumulator(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _slices(count: int, width: int, device: torch.device) -> list[slice]:
    """Slices of `count`, each with at most CHUNK_NUMBERS numbers where one takes `width`."""
    size = max(1, CHUNK_NUMBERS[device.type] // max(1, width))
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


class _Gradients:
    """Gradients of hidden, weight and bias, added up from those of the logits, in float32 where blocks overlap."""

    def __init__(self, ctx: Any) -> None:
        self.ctx = ctx
        hidden_ND, weight_VD = ctx.saved_tensors[:2]
        wide = _accumulator(weight_VD.dtype)
        makers = (
            lambda: torch.zeros_like(hidden_ND, dtype=wide),
            lambda: torch.zeros_like(weight_VD, dtype=wide) if len(ctx.slices_N) != 1 else torch.empty_like(weight_VD),
            lambda: weight_VD.new_zeros(len(weight_VD), dtype=wide),
        )
        self.grads = [
            make() if needed else None for make, needed in zip(makers, ctx.needs_input_grad[:3], strict=False)
        ]

    def add(self, tokens: slice, block: slice, grad_NV: Tensor, logit_NV: Tensor) -> None:
        """The gradient of a chunk's final logits, over their temperature."""
        head: VocabularyHead = self.ctx.head
        hidden_ND, weight_VD = self.ctx.saved_tensors[:2]
        if head.softcap is not None:
            grad_NV *= 1 - (logit_NV / head.softcap) ** 2
        if head.scale != 1.0:
            grad_NV *= head.scale
        low_NV = grad_NV.to(weight_VD.dtype)
        for_hidden, for_weight, for_bias = self.grads
        if for_hidden is not None:
            for_hidden[tokens] += low_NV @ weight_VD[block]
        if for_weight is not None and len(self.ctx.slices_N) == 1:
            torch.mm(low_NV.T, hidden_ND, out=for_weight[block])
        elif for_weight is not None:
            for_weight[block] += low_NV.T @ hidden_ND[tokens]
        if for_bias is not None:
            for_bias[block] += grad_NV.sum(0)

    def add_scaled(self, factor_N: Tensor, blocks: Iterator[tuple[slice, Tensor]]) -> None:
        """Blocks of the logits' gradients but for a factor a token has, which is applied where things are D wide."""
        hidden_ND, weight_VD = self.ctx.saved_tensors[:2]
        scaled_ND = (hidden_ND * factor_N[:, None]).to(weight_VD.dtype)
        for_hidden, for_weight, for_bias = self.grads
        for block, low_NV in blocks:
            if for_hidden is not None:
                for_hidden += low_NV @ weight_VD[block]
            if for_weight is not None:
                torch.mm(low_NV.T, scaled_ND, out=for_weight[block])
            if for_bias is not None:
                for_bias[block] = factor_N @ low_NV.to(for_bias.dtype)
        if for_hidden is not None:
            for_hidden *= factor_N[:, None]

    def all(self) -> list[Tensor | None]:
        dtypes = (self.ctx.saved_tensors[0].dtype, *[self.ctx.saved_tensors[1].dtype] * 2)
        return [None if g is None else g.to(dtype) for g, dtype in zip(self.grads, dtypes, strict=True)]


class _Logprobs(torch.autograd.Function):
    """Block of the vocabulary by block, all tokens at once: so each weight's gradient is one product.

    The entropy is the log of the sum minus the mean exponent, of the very logits that are summed: where one token is
    sure, their rounding must cancel.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, token_N: Tensor, head: VocabularyHead,
        temperature: float, wants_entropy: bool, learns: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        ctx.head, ctx.temperature, ctx.wants_entropy = head, temperature, wants_entropy
        ctx.slices_N, ctx.slices_V = [slice(0, len(token_N))], _slices(len(weight_VD), len(token_N), hidden_ND.device)
        ctx.own = _by_block(token_N, ctx.slices_V)
        room = KEPT_NUMBERS[hidden_ND.device.type] if learns and head.softcap is None else 0

        def sums(shift_N: Tensor) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
            """Over the vocabulary: the sum of e^(logit - shift), that of it times the exponent; the token's own logit;
            and the first blocks of e^(logit - shift), as many as there is room for."""
            total_N, mean_N, own_N = (torch.zeros_like(shift_N) for _ in range(3))
            kept: list[Tensor] = []
            for block, (here_n, column_n) in zip(ctx.slices_V, ctx.own, strict=True):
                logit_NV = _tempered(head.logits(hidden_ND, block), temperature)
                own_N[here_n] = logit_NV[here_n, column_n].to(own_N.dtype)
                power_NV = _minus(logit_NV, shift_N)
                exp_NV = power_NV.exp() if wants_entropy else power_NV.exp_()
                total_N += exp_NV.sum(-1)
                if wants_entropy:
                    mean_N += power_NV.mul_(exp_NV).sum(-1)
                if block.stop * len(token_N) <= room:
                    kept.append(exp_NV.to(weight_VD.dtype))
            return total_N, mean_N, own_N, kept

        # Any shift gives the same softmax. The token's own logit needs no pass over the vocabulary to be found, and
        # is too low only where the token is very unlikely (2^-64 in bfloat16 and float32).
        shift_N = _own_logits(head, hidden_ND, token_N) / temperature
        total_N, mean_N, own_N, kept = sums(shift_N)
        if not (total_N < torch.finfo(weight_VD.dtype).max ** 0.5).all():
            tops = [head.logits(hidden_ND, block).amax(-1) for block in ctx.slices_V]
            shift_N = torch.stack(tops).amax(0).to(shift_N.dtype) / temperature
            total_N, mean_N, own_N, kept = sums(shift_N)
        log_N = total_N.log()
        norm_N, entropy_N = log_N + shift_N, log_N - mean_N / total_N
        ctx.kept = kept
        ctx.save_for_backward(hidden_ND, weight_VD, token_N, own_N, shift_N, total_N, norm_N, entropy_N)
        return own_N - norm_N, entropy_N

    @staticmethod
    def backward(ctx: Any, *grads_out: Tensor) -> tuple[Tensor | None, ...]:
        grad_logp_N, grad_entropy_N = (grad / ctx.temperature for grad in grads_out)
        gradients = _Gradients(ctx)
        if ctx.wants_entropy and bool(grad_entropy_N.any()):
            _add_with_bonus(ctx, gradients, grad_logp_N, grad_entropy_N)
        else:
            total_N = ctx.saved_tensors[5]
            gradients.add_scaled(-grad_logp_N * ctx.head.scale / total_N, _unnormalised(ctx))
        return (*gradients.all(), None, None, None, None, None)


def _unnormalised(ctx: Any) -> Iterator[tuple[slice, Tensor]]:
    """Blocks of `total (p_j - 1[j = t])`, [N, V] as wide as the weights: kept, or made again."""
    hidden_ND, weight_VD, _, own_N, shift_N, total_N, _, _ = ctx.saved_tensors
    left_N = ((own_N - shift_N).exp() - total_N).to(weight_VD.dtype)
    for i, (block, (here_n, column_n)) in enumerate(zip(ctx.slices_V, ctx.own, strict=True)):
        if i < len(ctx.kept):
            low_NV = ctx.kept[i]
        else:
            logit_NV = ctx.head.logits(hidden_ND, block)
            low_NV = _minus(_tempered(logit_NV, ctx.temperature), shift_N).exp_().to(weight_VD.dtype)
        low_NV[here_n, column_n] = left_N[here_n]
        if ctx.head.softcap is not None:
            low_NV *= 1 - (logit_NV / ctx.head.softcap) ** 2
        yield block, low_NV


def _add_with_bonus(ctx: Any, gradients: _Gradients, grad_logp_N: Tensor, grad_entropy_N: Tensor) -> None:
    """What both log-probs and entropies ask of the logits. Probabilities in low precision would not do for p log p."""
    hidden_ND, _, _, _, _, _, norm_N, entropy_N = ctx.saved_tensors
    for block, (here_n, column_n) in zip(ctx.slices_V, ctx.own, strict=True):
        raw_NV = ctx.head.logits(hidden_ND, block)
        logp_NV = _minus(_tempered(raw_NV, ctx.temperature), norm_N)
        factor_NV = -grad_logp_N[:, None] - (logp_NV + entropy_N[:, None]) * grad_entropy_N[:, None]
        grad_NV = logp_NV.exp_().mul_(factor_NV)
        grad_NV[here_n, column_n] += grad_logp_N[here_n]
        gradients.add(ctx.slices_N[0], block, grad_NV, raw_NV)


def _tempered(logit_NV: Tensor, temperature: float) -> Tensor:
    return logit_NV if temperature == 1 else logit_NV / temperature


def _minus(logit_NV: Tensor, shift_N: Tensor) -> Tensor:
    """A new tensor, as wide as `shift_N`. In two steps where the types differ: mixing them makes three passes."""
    if logit_NV.dtype == shift_N.dtype:
        return logit_NV - shift_N[:, None]
    return logit_NV.to(shift_N.dtype).sub_(shift_N[:, None])


def _by_block(token_N: Tensor, blocks: list[slice]) -> list[tuple[Tensor, Tensor]]:
    """Of each block of the vocabulary: the places whose token lies in it, and the token's column there."""
    sorted_N, order_N = token_N.sort()
    ends = torch.searchsorted(sorted_N, torch.tensor([b.stop for b in blocks], device=token_N.device)).tolist()
    starts = [0, *ends[:-1]]
    return [(order_N[i:j], sorted_N[i:j] - b.start) for i, j, b in zip(starts, ends, blocks, strict=True)]


def _own_logits(head: VocabularyHead, hidden_ND: Tensor, token_N: Tensor) -> Tensor:
    """Each token's own logit, [N], near enough to shift by."""
    wide = _accumulator(hidden_ND.dtype)
    own_N = (hidden_ND.to(wide) * head.weight_VD[token_N].to(wide)).sum(-1)
    if head.bias_V is not None:
        own_N = own_N + head.bias_V[token_N]
    own_N = own_N * head.scale
    return own_N if head.softcap is None else head.softcap * torch.tanh(own_N / head.softcap)


class _ExactKL(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        ref_hidden_ND: Tensor,
        head: VocabularyHead,
        reference: VocabularyHead,
        temperature: float,
    ) -> Tensor:
        kl_N = hidden_ND.new_empty(len(hidden_ND), dtype=_accumulator(hidden_ND.dtype))
        ctx.head, ctx.reference, ctx.temperature = head, reference, temperature
        ctx.slices_N = _slices(len(hidden_ND), len(weight_VD), hidden_ND.device)
        for chunk in ctx.slices_N:
            logp_NV, ref_NV = _both(ctx, head.logits(hidden_ND[chunk]), ref_hidden_ND[chunk])
            kl_N[chunk] = (logp_NV.exp() * (logp_NV - ref_NV)).sum(-1)
        ctx.save_for_backward(hidden_ND, weight_VD, ref_hidden_ND, kl_N)
        return kl_N

    @staticmethod
    def backward(ctx: Any, *grads_out: Tensor) -> tuple[Tensor | None, ...]:
        (grad_kl_N,) = grads_out
        hidden_ND, _, ref_hidden_ND, kl_N = ctx.saved_tensors
        gradients = _Gradients(ctx)
        for chunk in ctx.slices_N:
            raw_NV = ctx.head.logits(hidden_ND[chunk])
            logp_NV, ref_NV = _both(ctx, raw_NV, ref_hidden_ND[chunk])
            grad_NV = logp_NV.exp() * (logp_NV - ref_NV - kl_N[chunk, None]) * grad_kl_N[chunk, None]
            gradients.add(chunk, slice(0, raw_NV.shape[1]), grad_NV / ctx.temperature, raw_NV)
        return (*gradients.all(), None, None, None, None)


def _both(ctx: Any, logit_NV: Tensor, ref_hidden_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probs over the vocabulary of the policy and its reference."""
    wide, ref_NV = _accumulator(logit_NV.dtype), ctx.reference.logits(ref_hidden_ND)
    return tuple((x / ctx.temperature).log_softmax(-1, dtype=wide) for x in (logit_NV, ref_NV))  # type: ignore[return-value]
