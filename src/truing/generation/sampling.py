"""From logits to a token and the log-prob of the distribution it was really drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from truing.settings import require

BLOCK = 256  # tokens whose probabilities are added up first


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
        require(
            self,
            ("temperature", self.temperature == 0 or self.temperature >= 1e-6, "0, or at least 1e-6"),
            ("top_k", self.top_k >= 0, "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0, at most 1"),
            ("min_p", 0 <= self.min_p < 1, "at least 0, below 1"),
            ("max_new_tokens", self.max_new_tokens >= 1, "1 or more"),
            ("stop", all(self.stop), "texts that are not empty"),
        )

    def cut(self, text: str) -> str:
        """The text before the first stop string in it."""
        places = [place for place in map(text.find, self.stop) if place >= 0]
        return text[: min(places)] if places else text

    @property
    def truncates(self) -> bool:
        """Whether some tokens can never be drawn, so that the sampled distribution is not the model's own."""
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0


def draw(logit_BV: Tensor, uniform_B: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor, Tensor]:
    """One token a row by inverse CDF: `token_B`, its `logp_B`, and `kept_B`, the log of the probability not cut away.

    `logp_B` is of the distribution drawn from; `logp_B + kept_B` is that of the whole one at this temperature. A
    temperature of 0 is the limit: the likeliest token, and its log-prob at temperature 1.
    """
    if sampling.temperature == 0:
        logp_BV = logit_BV.log_softmax(-1, dtype=_accumulator(logit_BV))
        token_B = logp_BV.argmax(-1)
        return token_B, logp_BV.gather(-1, token_B[:, None])[:, 0], torch.zeros_like(uniform_B)
    if sampling.temperature != 1:
        logit_BV = logit_BV / sampling.temperature
    if sampling.truncates:
        logp_BV, kept_B = truncate(logit_BV.log_softmax(-1, dtype=_accumulator(logit_BV)), sampling)
        p_BV = logp_BV.exp()
    else:
        p_BV = logit_BV.softmax(-1, dtype=_accumulator(logit_BV))
        kept_B = torch.zeros(len(p_BV), dtype=p_BV.dtype, device=p_BV.device)
    token_B = inverse_cdf(p_BV, uniform_B)
    return token_B, p_BV.gather(-1, token_B[:, None])[:, 0].log(), kept_B


def inverse_cdf(p_BV: Tensor, uniform_B: Tensor) -> Tensor:
    """The token of each row at which the cumulative probability passes the uniform number, [B].

    On two levels, blocks of tokens and tokens of one block: a cumulative sum over a large vocabulary takes longer than
    all the rest of sampling. A token without probability is never drawn.
    """
    rows, vocabulary = p_BV.shape
    whole = vocabulary // BLOCK
    blocks = [p_BV[:, : whole * BLOCK].view(rows, whole, BLOCK).sum(-1)]
    if vocabulary % BLOCK:
        blocks.append(p_BV[:, whole * BLOCK :].sum(-1, keepdim=True))
    edge_BC = torch.cat(blocks, -1).cumsum(-1)
    # Float32 sums of many small probabilities do not end at 1 exactly: scale the uniform number to where they do end.
    target_B = uniform_B.to(edge_BC.dtype) * edge_BC[:, -1]
    block_B = _first_beyond(edge_BC, target_B)
    before_B = torch.where(block_B > 0, edge_BC.gather(-1, (block_B - 1).clamp_min(0)[:, None])[:, 0], 0.0)
    place_Bb = block_B[:, None] * BLOCK + torch.arange(BLOCK, device=p_BV.device)
    inside_Bb = p_BV.gather(-1, place_Bb.clamp_max(vocabulary - 1)).masked_fill(place_Bb >= vocabulary, 0.0)
    return block_B * BLOCK + _first_beyond(inside_Bb.cumsum(-1), (target_B - before_B).clamp_min(0.0))


def _first_beyond(edge_BC: Tensor, target_B: Tensor) -> Tensor:
    """The first place whose edge lies beyond the target; the last with any probability where rounding leaves none."""
    place_B = torch.searchsorted(edge_BC, target_B[:, None], right=True)[:, 0]
    return place_B.minimum((edge_BC < edge_BC[:, -1:]).sum(-1))


def _accumulator(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def truncate(logp_BV: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Cut to top-k, of that to top-p (Holtzman et al. 2020, arXiv:1904.09751), of that to min-p, and renormalise.

    Returns `logp_BV` and `kept_B`, the log of the share kept.

    The order is that of transformers. Nothing is cut beyond what each rule says: the likeliest token always stays, ties
    at the border of top-k all stay.
    """
    keep_BV = torch.ones_like(logp_BV, dtype=torch.bool)
    if 0 < sampling.top_k < logp_BV.shape[-1]:
        keep_BV &= logp_BV >= logp_BV.topk(sampling.top_k, -1).values[:, -1:]
    if sampling.top_p < 1:
        cut_BV = logp_BV.masked_fill(~keep_BV, float("-inf")).log_softmax(-1)
        sorted_BV, order_BV = cut_BV.sort(dim=-1, descending=True, stable=True)
        # What a token and all less likely ones make up, added from the small end: sums near 1 lose the small ones.
        stays_BV = sorted_BV.exp().flip(-1).cumsum(-1).flip(-1) > 1 - sampling.top_p
        stays_BV[:, 0] = True
        keep_BV &= torch.zeros_like(keep_BV).scatter_(-1, order_BV, stays_BV)
    if sampling.min_p > 0:
        keep_BV &= logp_BV >= logp_BV.amax(-1, keepdim=True) + float(np.log(sampling.min_p))
    cut_BV = logp_BV.masked_fill(~keep_BV, float("-inf"))
    kept_B = cut_BV.logsumexp(-1)
    return cut_BV - kept_B[:, None], kept_B


def uniforms(seed: int, count: int) -> Tensor:
    """The random numbers of one response, [count] in [0, 1): a function of its seed alone, whoever shares its batch."""
    return torch.from_numpy(np.random.Generator(np.random.Philox(key=seed)).random(count, dtype=np.float32))
