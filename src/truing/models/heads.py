"""From hidden states to log-probs, entropy and exact KL, chunk by chunk: a [tokens, vocabulary] tensor never exists.

Each function here is differentiable in the hidden states and the vocabulary matrix. The forward pass keeps only the
hidden states and one log-normaliser a token; the backward pass makes each chunk's probabilities again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

CHUNK_NUMBERS = 2**22  # logits alive at a time


@dataclass(frozen=True)
class VocabularyHead:
    """How an architecture makes logits: `softcap * tanh((hidden @ weight.T + bias) * scale / softcap)`."""

    weight_VD: Tensor
    bias_V: Tensor | None = None
    scale: float = 1.0
    softcap: float | None = None

    def logits(self, hidden_ND: Tensor) -> Tensor:
        """Logits in float32 at least, [N, V]: for sampling, and for chunks of N."""
        raw_NV = torch.nn.functional.linear(hidden_ND, self.weight_VD, self.bias_V)
        raw_NV = raw_NV.to(_accumulator(raw_NV.dtype)) * self.scale
        return raw_NV if self.softcap is None else self.softcap * torch.tanh(raw_NV / self.softcap)


def logprobs_and_entropy(
    head: VocabularyHead, hidden_ND: Tensor, token_N: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Log-prob of each token [N] and entropy of its distribution [N], in nats, at this temperature.

    d logp_t / dz_j = 1[j = t] - p_j, and d H / dz_j = -p_j (log p_j + H).
    """
    return _Logprobs.apply(hidden_ND, head.weight_VD, head.bias_V, token_N, head, temperature)


def exact_kl(
    head: VocabularyHead, hidden_ND: Tensor, reference: VocabularyHead, ref_hidden_ND: Tensor, temperature: float = 1.0
) -> Tensor:
    """KL(policy || reference) summed over the whole vocabulary for each token, [N]; no gradient into the reference.

    d KL / dz_j = p_j (log p_j - log q_j - KL).
    """
    return _ExactKL.apply(hidden_ND, head.weight_VD, head.bias_V, ref_hidden_ND, head, reference, temperature)


def _accumulator(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _chunks(count: int, vocabulary: int) -> list[slice]:
    size = max(1, CHUNK_NUMBERS // vocabulary)
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _spread_gradient(ctx: Any, chunk: slice, grad_NV: Tensor, logit_NV: Tensor, grads: list[Tensor | None]) -> None:
    """From the gradient of a chunk's final logits to those of hidden, weight and bias (added into `grads`)."""
    head: VocabularyHead = ctx.head
    hidden_ND, weight_VD = ctx.saved_tensors[:2]
    grad_NV /= ctx.temperature
    if head.softcap is not None:
        grad_NV *= 1 - (logit_NV / head.softcap) ** 2
    if head.scale != 1.0:
        grad_NV *= head.scale
    grad_NV = grad_NV.to(weight_VD.dtype)
    if grads[0] is not None:
        grads[0][chunk] = grad_NV @ weight_VD
    if grads[1] is not None:
        grads[1].addmm_(grad_NV.T, hidden_ND[chunk])
    if grads[2] is not None:
        grads[2] += grad_NV.sum(0)


def _empty_grads(ctx: Any) -> list[Tensor | None]:
    hidden_ND, weight_VD = ctx.saved_tensors[:2]
    makers = (torch.empty_like(hidden_ND), torch.zeros_like(weight_VD), weight_VD.new_zeros(len(weight_VD)))
    return [grad if needed else None for grad, needed in zip(makers, ctx.needs_input_grad[:3])]


class _Logprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        token_N: Tensor,
        head: VocabularyHead,
        temperature: float,
    ) -> tuple[Tensor, Tensor]:
        logp_N = hidden_ND.new_empty(len(token_N), dtype=_accumulator(hidden_ND.dtype))
        entropy_N, norm_N = torch.empty_like(logp_N), torch.empty_like(logp_N)
        for chunk in _chunks(len(token_N), len(weight_VD)):
            logit_NV = head.logits(hidden_ND[chunk]) / temperature
            norm_N[chunk] = logit_NV.logsumexp(-1)
            logp_N[chunk] = logit_NV.gather(-1, token_N[chunk, None])[:, 0] - norm_N[chunk]
            p_NV = (logit_NV - norm_N[chunk, None]).exp()
            entropy_N[chunk] = norm_N[chunk] - (p_NV * logit_NV).sum(-1)
        ctx.save_for_backward(hidden_ND, weight_VD, token_N, norm_N, entropy_N)
        ctx.head, ctx.temperature = head, temperature
        return logp_N, entropy_N

    @staticmethod
    def backward(ctx: Any, *grads_out: Tensor) -> tuple[Tensor | None, ...]:
        grad_logp_N, grad_entropy_N = grads_out
        hidden_ND, weight_VD, token_N, norm_N, entropy_N = ctx.saved_tensors
        wants_entropy = bool(grad_entropy_N.any())
        grads = _empty_grads(ctx)
        for chunk in _chunks(len(token_N), len(weight_VD)):
            raw_NV = ctx.head.logits(hidden_ND[chunk])
            logp_NV = raw_NV / ctx.temperature - norm_N[chunk, None]
            p_NV = logp_NV.exp()
            grad_NV = -p_NV * grad_logp_N[chunk, None]
            grad_NV.scatter_add_(1, token_N[chunk, None], grad_logp_N[chunk, None])
            if wants_entropy:
                grad_NV -= p_NV * (logp_NV + entropy_N[chunk, None]) * grad_entropy_N[chunk, None]
            _spread_gradient(ctx, chunk, grad_NV, raw_NV, grads)
        return (*grads, None, None, None)


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
        for chunk in _chunks(len(hidden_ND), len(weight_VD)):
            logp_NV = (head.logits(hidden_ND[chunk]) / temperature).log_softmax(-1)
            ref_NV = (reference.logits(ref_hidden_ND[chunk]) / temperature).log_softmax(-1)
            kl_N[chunk] = (logp_NV.exp() * (logp_NV - ref_NV)).sum(-1)
        ctx.save_for_backward(hidden_ND, weight_VD, ref_hidden_ND, kl_N)
        ctx.head, ctx.reference, ctx.temperature = head, reference, temperature
        return kl_N

    @staticmethod
    def backward(ctx: Any, *grads_out: Tensor) -> tuple[Tensor | None, ...]:
        (grad_kl_N,) = grads_out
        hidden_ND, weight_VD, ref_hidden_ND, kl_N = ctx.saved_tensors
        grads = _empty_grads(ctx)
        for chunk in _chunks(len(hidden_ND), len(weight_VD)):
            raw_NV = ctx.head.logits(hidden_ND[chunk])
            logp_NV = (raw_NV / ctx.temperature).log_softmax(-1)
            ref_NV = (ctx.reference.logits(ref_hidden_ND[chunk]) / ctx.temperature).log_softmax(-1)
            grad_NV = logp_NV.exp() * (logp_NV - ref_NV - kl_N[chunk, None]) * grad_kl_N[chunk, None]
            _spread_gradient(ctx, chunk, grad_NV, raw_NV, grads)
        return (*grads, None, None, None, None)
