"""The loss of a reward model on what people preferred: pairs, rankings, ties and doubt.

A score is a log-strength: only differences matter, and a difference of 1 is odds of e to 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def bradley_terry(
    score_chosen_P: Tensor,
    score_rejected_P: Tensor,
    margin_P: Tensor | float = 0.0,
    target_P: Tensor | float = 1.0,
    error: float = 0.0,
) -> Tensor:
    """How unlikely the scores make the judgement: loss_P = −(t log P(chosen better) + (1−t) log P(rejected better)).

    Bradley and Terry 1952; Christiano et al. 2017, arXiv:1706.03741, eq. 1. `target_P` t is the probability that the
    chosen one is better: 1, a soft label, or 0.5 for a tie. `margin_P` ≥ 0 is how much better the better one must score
    (Touvron et al. 2023, arXiv:2307.09288, eq. 2); give ties 0. `error` ε is the share of judgements made at random,
    P = (1−ε)σ(Δ − margin) + ε/2 (Christiano et al., section 2.2.3, with ε = 0.1), so that one wrong label costs at most
    log(2/ε). Swapping the answers and taking 1−t gives the same loss.
    """
    gap_P = score_chosen_P - score_rejected_P
    chosen_P, rejected_P = (_mixed(logsigmoid(side_P - margin_P), error, -math.log(2)) for side_P in (gap_P, -gap_P))
    return -(target_P * chosen_P + (1 - target_P) * rejected_P)


def _mixed(logp: Tensor, error: float, at_random: float) -> Tensor:
    """log((1−ε) p + ε q) from log p and log q: a judgement made at random with probability ε."""
    if not 0 <= error < 1:
        raise ValueError(f"error is the share of judgements made at random: it must be in [0, 1), not {error}")
    if not error:
        return logp
    return torch.logaddexp(logp + math.log1p(-error), torch.full_like(logp, math.log(error) + at_random))


def pairs(tiers: Sequence[int]) -> tuple[list[int], list[int], list[float]]:
    """All C(K,2) pairs of one ranking: better_P, worse_P (places of the answers) and target_P.

    `tiers[i]` is the rank of answer i, 0 best; answers that share one are tied and get the target 0.5. Ouyang et al.
    2022, arXiv:2203.02155, section 3.5 (all comparisons of a prompt; there without ties).
    """
    better_P, worse_P, target_P = [], [], []
    for first, second in combinations(range(len(tiers)), 2):
        if tiers[second] < tiers[first]:
            first, second = second, first
        better_P.append(first)
        worse_P.append(second)
        target_P.append(0.5 if tiers[first] == tiers[second] else 1.0)
    return better_P, worse_P, target_P


def k_wise(score_K: Tensor, tiers: Sequence[int], error: float = 0.0) -> Tensor:
    """Bradley–Terry averaged over the C(K,2) pairs of one ranking: a scalar.

    InstructGPT, Ouyang et al. 2022, arXiv:2203.02155, eq. 1. One ranking weighs as much as another, however many
    answers it has, and each answer is scored once, not K−1 times.
    """
    better_P, worse_P, target_P = pairs(_checked(tiers, score_K))
    return bradley_terry(score_K[better_P], score_K[worse_P], 0.0, score_K.new_tensor(target_P), error).mean()


def plackett_luce(score_K: Tensor, tiers: Sequence[int], error: float = 0.0) -> Tensor:
    """−log P(this order), the best being picked first, then the best of the rest: a scalar.

    Plackett 1975, "The analysis of permutations"; Luce 1959, "Individual choice behavior". A partial ranking keeps its
    unranked rest in the last tier: nothing is asked about the order within. Ties in other tiers by Breslow 1974's
    approximation: each tied answer is picked from all answers of its tier and below. For two untied answers this is
    `bradley_terry`; if all are tied it is 0 and teaches nothing. `error` is as there: the share of judgements made at
    random, as if all scores were equal.
    """
    tier_K = torch.tensor(_checked(tiers, score_K), device=score_K.device)
    loss = score_K.new_zeros(()) * score_K.sum()  # in the graph even when nothing was ranked
    at_random = 0.0
    for tier in sorted(set(tiers))[:-1]:
        picked_K, from_K = tier_K == tier, tier_K >= tier
        loss = loss + (torch.logsumexp(score_K[from_K], 0) - score_K[picked_K]).sum()
        at_random += int(picked_K.sum()) * math.log(int(from_K.sum()))
    return -_mixed(-loss, error, -at_random)


def _checked(tiers: Sequence[int], score_K: Tensor) -> Sequence[int]:
    if len(tiers) != len(score_K) or len(tiers) < 2:
        raise ValueError(
            f"a ranking needs one tier for each score and at least 2: {len(tiers)} tiers, {len(score_K)} scores"
        )
    return tiers


def centring(score_chosen_P: Tensor, score_rejected_P: Tensor) -> Tensor:
    """(r₁ + r₂)², which holds the scores of a prompt around zero: loss_P, to be added with a small weight (0.01).

    Eisenstein et al. 2023, arXiv:2312.09244, section on reward-model training. Preferences leave a constant per prompt
    open; this settles it without pulling the two scores towards each other, as a penalty on each one's square would.
    """
    return (score_chosen_P + score_rejected_P) ** 2
