"""From logits to a token and the log-prob of the distribution it was really drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from truing.errors import UserError


@dataclass(frozen=True)
class Sampling:
    """How responses are drawn."""

    temperature: float = 1.0
    """Divides the logits; 0 takes the likeliest token always."""
    top_k: int = 0
    """Draw among the k likeliest tokens; 0 keeps all."""
    top_p: float = 1.0
    """Draw among the likeliest tokens that make up this share of probability; 1 keeps all."""
    min_p: float = 0.0
    """Draw among tokens at least this many times as likely as the likeliest; 0 keeps all."""
    max_new_tokens: int = 64
    """Longest response, in tokens."""
    stop: tuple[str, ...] = ()
    """A response ends when its text contains one of these; the text is cut before it."""
    stop_tokens: tuple[int, ...] = ()
    """Token ids that end a response, besides the model's own end token."""

    def __post_init__(self) -> None:
        rules = (
            ("temperature", self.temperature >= 0, "0 or more"),
            ("top_k", self.top_k >= 0, "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0, at most 1"),
            ("min_p", 0 <= self.min_p < 1, "at least 0, below 1"),
            ("max_new_tokens", self.max_new_tokens >= 1, "1 or more"),
            ("stop", all(self.stop), "texts that are not empty"),
        )
        for name, holds, rule in rules:
            if not holds:
                raise UserError(f"{name} = {getattr(self, name)!r}: it must be {rule}")

    @property
    def truncates(self) -> bool:
        """Whether some tokens can never be drawn, so that the sampled distribution is not the model's own."""
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0


def draw(logit_BV: Tensor, uniform_B: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor, Tensor]:
    """One token a row by inverse CDF: `token_B`, its `logp_B`, and `kept_B`, the log of the probability not cut away.

    `logp_B` is of the distribution drawn from; `logp_B + kept_B` is that of the whole one at this temperature. A
    temperature of 0 is the limit: the likeliest token, and its log-prob at temperature 1.
    """
    greedy = sampling.temperature == 0
    logp_BV = (logit_BV if greedy else logit_BV / sampling.temperature).log_softmax(-1)
    if greedy:
        token_B = logp_BV.argmax(-1)
        return token_B, logp_BV.gather(-1, token_B[:, None])[:, 0], torch.zeros_like(uniform_B)
    kept_B = torch.zeros(len(logp_BV), dtype=logp_BV.dtype, device=logp_BV.device)
    if sampling.truncates:
        logp_BV, kept_B = truncate(logp_BV, sampling)
    # Float32 sums of many small probabilities do not end at 1 exactly: scale the uniform number to where they do end.
    cdf_BV = logp_BV.exp().cumsum(-1)
    target_B = uniform_B.to(cdf_BV.dtype) * cdf_BV[:, -1]
    token_B = torch.searchsorted(cdf_BV, target_B[:, None], right=True)[:, 0]
    # A number that rounds up to the end itself would point past the last token that has any probability.
    last_B = (cdf_BV < cdf_BV[:, -1:]).sum(-1)
    token_B = token_B.minimum(last_B)
    return token_B, logp_BV.gather(-1, token_B[:, None])[:, 0], kept_B


def truncate(logp_BV: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Cut to min-p, then top-k, then top-p (Holtzman et al. 2020, arXiv:1904.09751), and renormalise.

    Returns `logp_BV` and `kept_B`, the log of the share kept.

    Nothing is cut beyond what each rule says: the likeliest token always stays, ties at the border of top-k all stay.
    """
    keep_BV = torch.ones_like(logp_BV, dtype=torch.bool)
    if sampling.min_p > 0:
        keep_BV &= logp_BV >= logp_BV.amax(-1, keepdim=True) + float(np.log(sampling.min_p))
    if 0 < sampling.top_k < logp_BV.shape[-1]:
        keep_BV &= logp_BV >= logp_BV.topk(sampling.top_k, -1).values[:, -1:]
    if sampling.top_p < 1:
        cut_BV = logp_BV.masked_fill(~keep_BV, float("-inf")).log_softmax(-1)
        sorted_BV, order_BV = cut_BV.sort(dim=-1, descending=True, stable=True)
        before_BV = sorted_BV.exp().cumsum(-1) - sorted_BV.exp()
        keep_BV &= torch.zeros_like(keep_BV).scatter_(-1, order_BV, before_BV < sampling.top_p)
    cut_BV = logp_BV.masked_fill(~keep_BV, float("-inf"))
    kept_B = cut_BV.logsumexp(-1)
    return cut_BV - kept_B[:, None], kept_B


def uniforms(seed: int, count: int) -> Tensor:
    """The random numbers of one response, [count] in [0, 1): a function of its seed alone, whoever shares its batch."""
    return torch.from_numpy(np.random.Generator(np.random.Philox(key=seed)).random(count, dtype=np.float32))
