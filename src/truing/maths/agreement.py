"""Do people agree, whom to trust, and which model is better: statistics of judgements. numpy and scipy only.

Shapes: I items · R raters · C categories · M models · G games. `label_IR[i, r]` is the category, 0 … C − 1, that rater
r gave item i, or −1 where r did not judge i. What the data cannot tell (no overlap, one category only) is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Level = Literal["nominal", "ordinal", "interval"]


def percent_agreement(label_IR: ArrayLike) -> float:
    """Share of pairs of judgements of one item that agree, each item weighing the same. Holsti 1969."""
    count_IC = _counts(label_IR)
    n_I = count_IC.sum(1)
    judged = n_I >= 2
    if not judged.any():
        return float("nan")
    count_IC, n_I = count_IC[judged], n_I[judged]
    return float(((count_IC * (count_IC - 1)).sum(1) / (n_I * (n_I - 1))).mean())


def cohen_kappa(label_IR: ArrayLike, weights: Literal["none", "linear", "quadratic"] = "none") -> float:
    """Agreement of two raters beyond chance, on the items both judged. Cohen 1960; weighted: Cohen 1968.

    Raises ValueError unless there are two raters. `weights` counts a disagreement by its distance, or its square.
    """
    label_IR = np.asarray(label_IR)
    if label_IR.ndim != 2 or label_IR.shape[1] != 2:
        raise ValueError(f"cohen_kappa compares two raters, not an array of the shape {label_IR.shape}")
    both = label_IR[(label_IR >= 0).all(1)]
    if not len(both):
        return float("nan")
    c = int(both.max()) + 1
    seen_CC = np.zeros((c, c))
    np.add.at(seen_CC, (both[:, 0], both[:, 1]), 1 / len(both))
    chance_CC = np.outer(seen_CC.sum(1), seen_CC.sum(0))
    apart_CC = np.abs(np.subtract.outer(np.arange(c), np.arange(c))).astype(float)
    cost_CC = {"none": (apart_CC > 0).astype(float), "linear": apart_CC, "quadratic": apart_CC**2}[weights]
    expected = (cost_CC * chance_CC).sum()
    return float(1 - (cost_CC * seen_CC).sum() / expected) if expected > 0 else float("nan")


def fleiss_kappa(label_IR: ArrayLike) -> float:
    """Agreement of many raters beyond chance. Fleiss 1971; items may have unequal numbers of judgements, 2 or more each
    (those with fewer say nothing of agreement and are left out)."""
    count_IC = _counts(label_IR)
    count_IC = count_IC[count_IC.sum(1) >= 2]
    if not len(count_IC):
        return float("nan")
    n_I = count_IC.sum(1)
    seen = ((count_IC * (count_IC - 1)).sum(1) / (n_I * (n_I - 1))).mean()
    chance = ((count_IC.sum(0) / n_I.sum()) ** 2).sum()
    return float((seen - chance) / (1 - chance)) if chance < 1 else float("nan")


def krippendorff_alpha(label_IR: ArrayLike, level: Level = "nominal") -> float:
    """Agreement beyond chance, for any number of raters and missing judgements. Krippendorff 2011.

    `level`: how far apart two categories are. 1 is perfect, 0 chance.
    """
    count_IC = _counts(label_IR)
    count_IC = count_IC[count_IC.sum(1) >= 2]
    if not len(count_IC):
        return float("nan")
    weight_I = 1 / (count_IC.sum(1) - 1)
    seen_CC = np.einsum("ic,id,i->cd", count_IC, count_IC, weight_I) - np.diag((count_IC * weight_I[:, None]).sum(0))
    total_C = seen_CC.sum(0)
    n = total_C.sum()
    chance_CC = (np.outer(total_C, total_C) - np.diag(total_C)) / (n - 1)
    apart_CC = _apart(total_C, level)
    expected = (apart_CC * chance_CC).sum()
    return float(1 - (apart_CC * seen_CC).sum() / expected) if expected > 0 else float("nan")


def _apart(total_C: Floats, level: Level) -> Floats:
    """Squared distance of each two categories."""
    place_C = np.arange(len(total_C), dtype=float)
    if level == "nominal":
        return (np.subtract.outer(place_C, place_C) != 0).astype(float)
    if level == "ordinal":
        # Ranks in the middle of each category's share: those in between, and half of each end.
        place_C = np.cumsum(total_C) - total_C / 2
    return np.subtract.outer(place_C, place_C) ** 2


def bootstrap_interval(
    label_IR: ArrayLike, statistic: Callable[[Ints], float], level: float = 0.95, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of a statistic of agreement, items drawn again with replacement. Efron 1979.

    NaN on both sides if fewer than half of the draws have a value.
    """
    labels_IR, rng = np.asarray(label_IR, dtype=np.int64), np.random.default_rng(seed)
    if not len(labels_IR):
        return float("nan"), float("nan")
    drawn = [statistic(labels_IR[rng.integers(len(labels_IR), size=len(labels_IR))]) for _ in range(draws)]
    values = np.array([value for value in drawn if np.isfinite(value)])
    if len(values) < draws / 2:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Reliability:
    """What `dawid_skene` found: posterior_IC of each item's true category, confusion_RCC (row: true, column: said),
    prevalence_C, accuracy_R (the chance that a rater is right), and the log-likelihood of all judgements."""

    posterior_IC: Floats
    confusion_RCC: Floats
    prevalence_C: Floats
    accuracy_R: Floats
    log_likelihood: float


def dawid_skene(
    label_IR: ArrayLike, categories: int, iterations: int = 200, tolerance: float = 1e-7, prior: float = 0.5
) -> Reliability:
    """How reliable each rater is, and what is true of each item, from their judgements alone. Dawid and Skene 1979.

    Expectation maximisation from the majority's opinion. `prior` judgements are added to each cell of a rater's
    confusion, and twice as many to the right ones, so that one who judged little is neither perfect nor hopeless.
    """
    label_IR = np.asarray(label_IR, dtype=np.int64)
    said_IRC = (label_IR[:, :, None] == np.arange(categories)).astype(float)
    posterior_IC = (said_IRC.sum(1) + 1e-2) / (said_IRC.sum(1) + 1e-2).sum(1, keepdims=True)
    pseudo_CC = prior * (1 + np.eye(categories))
    before = -np.inf
    for _ in range(max(1, iterations)):
        prevalence_C = (posterior_IC.sum(0) + prior) / (posterior_IC.sum() + prior * categories)
        count_RCC = np.einsum("it,irc->rtc", posterior_IC, said_IRC) + pseudo_CC
        confusion_RCC = count_RCC / count_RCC.sum(2, keepdims=True)
        log_IC = np.log(prevalence_C) + np.einsum("irc,rtc->it", said_IRC, np.log(confusion_RCC))
        top_I = log_IC.max(1, keepdims=True) if len(log_IC) else np.zeros((0, 1))
        likelihood = float((top_I[:, 0] + np.log(np.exp(log_IC - top_I).sum(1))).sum())
        posterior_IC = np.exp(log_IC - top_I)
        posterior_IC /= posterior_IC.sum(1, keepdims=True)
        if abs(likelihood - before) < tolerance * max(1.0, abs(likelihood)):
            break
        before = likelihood
    accuracy_R = np.einsum("t,rtt->r", prevalence_C, confusion_RCC)
    return Reliability(posterior_IC, confusion_RCC, prevalence_C, accuracy_R, likelihood)


@dataclass(frozen=True)
class Strengths:
    """What `davidson` found: strength_M (mean 0; a difference of 1 is odds of e), interval_M2 of each, and the tie
    parameter (0: none; 1: equals tie as often as one of them wins)."""

    strength_M: Floats
    interval_M2: Floats
    tie: float


def davidson(
    games: Sequence[tuple[int, int, float]], models: int, clusters: Sequence[object] | None = None, prior: float = 0.1,
    level: float = 0.95,
) -> Strengths:  # fmt: skip
    """Strengths of models from games with ties: P(i wins) ∝ π_i, P(tie) ∝ ν √(π_i π_j). Davidson 1970, eq. 2.3.

    A game is (first, second, outcome): 1 the first won, 0 the second, 0.5 a tie. Without ties this is the Bradley–Terry
    model. Intervals are by the sandwich estimator (Huber 1967; White 1982), with games of one cluster, such as a
    prompt, not taken as independent. `prior` is the precision of a normal prior at 0, which keeps an unbeaten model
    finite; 0 for maximum likelihood. Without games all is NaN.
    """
    if not games:
        unknown = np.full(models, np.nan)
        return Strengths(unknown, np.stack([unknown, unknown], 1), float("nan"))
    first_G, second_G = np.array([g[0] for g in games]), np.array([g[1] for g in games])
    outcome_G = np.array([g[2] for g in games], dtype=float)
    ties = bool((outcome_G == 0.5).any())
    fitted = scipy.optimize.minimize(
        lambda x: _davidson(x, first_G, second_G, outcome_G, models, prior, ties)[0],
        np.zeros(models + ties),
        jac=lambda x: _davidson(x, first_G, second_G, outcome_G, models, prior, ties)[1].sum(0)
        + _prior_gradient(x, models, prior),
        method="BFGS", options={"gtol": 1e-9, "maxiter": 500},
    )  # fmt: skip
    x = fitted.x
    score_GX = _davidson(x, first_G, second_G, outcome_G, models, prior, ties)[1]
    covariance_MM = _sandwich(x, score_GX, clusters, lambda y: _davidson(y, first_G, second_G, outcome_G, models, prior,
                              ties)[1].sum(0) + _prior_gradient(y, models, prior))[:models, :models]  # fmt: skip
    centre_MM = np.eye(models) - 1 / models
    strength_M = centre_MM @ x[:models]
    spread_M = scipy.stats.norm.ppf((1 + level) / 2) * np.sqrt(np.diag(centre_MM @ covariance_MM @ centre_MM).clip(0))
    interval_M2 = np.stack([strength_M - spread_M, strength_M + spread_M], 1)
    return Strengths(strength_M, interval_M2, float(np.exp(x[models])) if ties else 0.0)


def to_elo(strength_M: ArrayLike) -> Floats:
    """Strengths on the scale of Elo ratings, where 400 points are odds of 10 and the mean is 1000. Elo 1978."""
    return 1000 + 400 / np.log(10) * np.asarray(strength_M, dtype=float)


def _davidson(
    x: Floats, first_G: Ints, second_G: Ints, outcome_G: Floats, models: int, prior: float, ties: bool
) -> tuple[float, Floats]:
    """Negative log-posterior, and the gradient of each game's part of the likelihood, [G, models (+ 1)]."""
    a_G, b_G = x[first_G], x[second_G]
    between_G = (a_G + b_G) / 2 + x[models] if ties else np.full(len(a_G), -np.inf)
    logit_G3 = np.stack([a_G, b_G, between_G], 1)
    top_G = logit_G3.max(1)
    p_G3 = np.exp(logit_G3 - top_G[:, None])
    norm_G = p_G3.sum(1)
    p_G3 /= norm_G[:, None]
    happened_G = np.select([outcome_G == 1, outcome_G == 0], [a_G, b_G], between_G)
    value = -(happened_G - top_G - np.log(norm_G)).sum() + prior / 2 * (x[:models] ** 2).sum()
    tied_G, rows_G = outcome_G == 0.5, np.arange(len(a_G))
    gradient_GX = np.zeros((len(a_G), len(x)))
    np.add.at(gradient_GX, (rows_G, first_G), p_G3[:, 0] + p_G3[:, 2] / 2 - outcome_G)
    np.add.at(gradient_GX, (rows_G, second_G), p_G3[:, 1] + p_G3[:, 2] / 2 - (1 - outcome_G))
    if ties:
        gradient_GX[:, models] = p_G3[:, 2] - tied_G
    return float(value), gradient_GX


def _prior_gradient(x: Floats, models: int, prior: float) -> Floats:
    return np.where(np.arange(len(x)) < models, prior * x, 0.0)


def _sandwich(
    x: Floats, score_GX: Floats, clusters: Sequence[object] | None, gradient: Callable[[Floats], Floats]
) -> Floats:
    """Covariance H⁻¹ (Σ over clusters of s sᵀ) H⁻¹, with the Hessian H by central differences of the gradient."""
    step = 1e-5
    hessian_XX = np.stack([(gradient(x + step * e) - gradient(x - step * e)) / (2 * step) for e in np.eye(len(x))])
    if clusters is not None:
        index_G = np.unique(np.array([str(c) for c in clusters]), return_inverse=True)[1]
        summed = np.zeros((index_G.max() + 1, score_GX.shape[1]))
        np.add.at(summed, index_G, score_GX)
        score_GX = summed * np.sqrt(len(summed) / max(1, len(summed) - 1))
    inverse = np.linalg.pinv((hessian_XX + hessian_XX.T) / 2, rcond=1e-10, hermitian=True)
    return inverse @ (score_GX.T @ score_GX) @ inverse


def _counts(label_IR: ArrayLike) -> Floats:
    """How many raters gave each item each category, [I, C]."""
    label_IR = np.asarray(label_IR, dtype=np.int64)
    if label_IR.ndim != 2:
        raise ValueError(f"labels are items by raters, not an array of the shape {label_IR.shape}")
    categories = int(label_IR.max()) + 1 if label_IR.size and label_IR.max() >= 0 else 1
    return (label_IR[:, :, None] == np.arange(categories)).sum(1).astype(float)
