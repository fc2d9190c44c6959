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
from scipy.sparse.csgraph import connected_components

from truing.maths.games import Games
from truing.maths.statistics import clopper_pearson

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Level = Literal["nominal", "ordinal", "interval"]


def agreeing_pairs(label_IR: ArrayLike) -> Floats:
    """Of each item that two raters or more judged, the share of pairs of its judgements that agree. Holsti 1969."""
    count_IC = _counts(label_IR)
    count_IC = count_IC[count_IC.sum(1) >= 2]
    n_I = count_IC.sum(1)
    return (count_IC * (count_IC - 1)).sum(1) / (n_I * (n_I - 1))


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
    label_IR: ArrayLike, statistic: Callable[[Ints], float], level: float = 0.95, draws: int = 1000, seed: int = 0,
    clusters: Sequence[object] | None = None,
) -> tuple[float, float]:  # fmt: skip
    """Percentile interval of a statistic of agreement, items drawn again with replacement. Efron 1979; expanded for few
    items by Student's t, Hesterberg 2015, arXiv:1411.5279, section 4.2.

    Items of one of the `clusters`, such as a prompt, are drawn together. NaN on both sides if there is one cluster
    alone, or fewer than half of the draws have a value.
    """
    labels_IR, rng = np.asarray(label_IR, dtype=np.int64), np.random.default_rng(seed)
    names = range(len(labels_IR)) if clusters is None else [str(c) for c in clusters]
    number_I = np.unique(names, return_inverse=True)[1]
    n = int(number_I.max()) + 1 if len(number_I) else 0
    if n < 2:
        return float("nan"), float("nan")
    values = np.empty(draws)
    for i in range(draws):
        times_C = np.bincount(rng.integers(n, size=n), minlength=n)
        values[i] = statistic(labels_IR[np.repeat(np.arange(len(labels_IR)), times_C[number_I])])
    values = values[np.isfinite(values)]
    if len(values) < draws / 2:
        return float("nan"), float("nan")
    tail = scipy.stats.norm.cdf(np.sqrt(n / (n - 1)) * scipy.stats.t.ppf((1 - level) / 2, n - 1))
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class Reliability:
    """What `dawid_skene` found: posterior_IC of each item's true category, confusion_RCC (row: true, column: said),
    prevalence_C, accuracy_R (the chance that a rater is right), worth_R (how many judgements of known truth would tell
    it as well), interval_R2 of it at 95 %, and the log-likelihood of all judgements."""

    posterior_IC: Floats
    confusion_RCC: Floats
    prevalence_C: Floats
    accuracy_R: Floats
    worth_R: Floats
    interval_R2: Floats
    log_likelihood: float


def identifiable(label_IR: ArrayLike) -> NDArray[np.bool_]:
    """Of which raters the judgements tell how often they err: those on, or linked to, a ring of an odd number.

    How often two agree tells of the two together, (1 − 2e)(1 − 2f) of errors at random (Parisi et al. 2014,
    arXiv:1303.3257, lemma 1): of two who disagree, either may be the one who errs, and so along a chain. A ring of
    three settles it, or of five.
    """
    judged_IR = (np.asarray(label_IR) >= 0).astype(np.int64)
    together_RR = judged_IR.T @ judged_IR > 0
    np.fill_diagonal(together_RR, False)
    none_RR = np.zeros_like(together_RR)
    # Everybody twice, on two sides, and each link from one side to the other: an odd ring alone leads to one's double.
    sides = np.block([[none_RR, together_RR], [together_RR, none_RR]]).astype(int)
    group = connected_components(sides, directed=False)[1]
    return np.asarray(group[: len(none_RR)] == group[len(none_RR) :])


def dawid_skene(
    label_IR: ArrayLike,
    categories: int,
    iterations: int = 200,
    tolerance: float = 1e-7,
    prior: float = 0.5,
    at_once_R: ArrayLike = 1.0,
) -> Reliability:
    """How reliable each rater is, and what is true of each item, from their judgements alone. Dawid and Skene 1979.

    Expectation maximisation from the majority's opinion. `prior` judgements are added to each cell of a rater's
    confusion, and twice as many to the right ones, so that one who judged little is neither perfect nor hopeless. Items
    that one rater alone judged say nothing of anybody: their truth is then his own word. They count not.
    """
    label_IR = np.asarray(label_IR, dtype=np.int64)
    said_IRC = (label_IR[:, :, None] == np.arange(categories)).astype(float)
    said_IRC *= (label_IR >= 0).sum(1)[:, None, None] >= 2
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
    information_R, variance_R = _information(said_IRC, posterior_IC, accuracy_R)
    worth_R = 1 / (accuracy_R * (1 - accuracy_R) * variance_R * at_once_R)
    inflation_R = (information_R * variance_R).clip(1) * at_once_R
    interval_R2 = np.zeros((len(accuracy_R), 2))
    for r, judged_I in enumerate(said_IRC.any(2).T):
        others_IC = log_IC[judged_I] - said_IRC[judged_I, r] @ np.log(confusion_RCC[r]).T
        right_I = scipy.special.softmax(others_IC, axis=1)[said_IRC[judged_I, r] > 0]
        share = (posterior_IC[judged_I] * said_IRC[judged_I, r]).sum() / max(1, len(right_I))
        likely, exact = (
            _accuracy_interval(right_I, categories, inflation_R[r]),
            clopper_pearson(share * worth_R[r], worth_R[r]),
        )
        interval_R2[r] = min(likely[0], exact[0]), max(likely[1], exact[1])
    return Reliability(posterior_IC, confusion_RCC, prevalence_C, accuracy_R, worth_R, interval_R2, likelihood)


def _information(said_IRC: Floats, posterior_IC: Floats, accuracy_R: Floats) -> tuple[Floats, Floats]:
    """Of the log-odds of each accuracy: the observed information if those of the others were known, and the variance as
    they are not. Louis 1982, "Finding the observed information matrix when using the EM algorithm": the information
    of known truths, less what not knowing them takes away.

    Two raters who disagree now and then could each be the one who errs: that direction has no information, and both are
    worth nothing, however many items they share.
    """
    expected_IR = np.einsum("it,irt->ir", posterior_IC, said_IRC)
    lost_RR = np.einsum("it,irt,ist->rs", posterior_IC, said_IRC, said_IRC, optimize=True) - expected_IR.T @ expected_IR
    information_RR = np.diag(said_IRC.sum((0, 2)) * accuracy_R * (1 - accuracy_R)) - lost_RR
    value_R, vector_RR = np.linalg.eigh(information_RR)
    return np.diag(information_RR), (vector_RR**2 / value_R.clip(1e-9)).sum(1)


def _accuracy_interval(right_I: Floats, categories: int, inflation: float) -> tuple[float, float]:
    """Where the likelihood of an accuracy is high enough: `right_I` is what the others make of each judgement. The
    cutoff is inflated for what is not known of the others (Chandler and Bate 2007, as in `davidson`)."""
    if not len(right_I):
        return 0.0, 1.0
    wrong_I = (1 - right_I) / (categories - 1)

    def value(accuracy: float) -> float:
        return float(np.log(accuracy * right_I + (1 - accuracy) * wrong_I + 1e-300).sum())

    def slope(accuracy: float) -> float:
        return float(((right_I - wrong_I) / (accuracy * right_I + (1 - accuracy) * wrong_I + 1e-300)).sum())

    best = 0.0 if slope(0.0) <= 0 else 1.0 if slope(1.0) >= 0 else scipy.optimize.brentq(slope, 0.0, 1.0)
    least = value(best) - scipy.stats.norm.ppf(0.975) ** 2 / 2 * inflation
    low, high = (
        end if value(end) >= least else scipy.optimize.brentq(lambda a: value(a) - least, *sorted((end, best)))
        for end in (0.0, 1.0)
    )
    return low, high


@dataclass(frozen=True)
class Strengths:
    """What `davidson` found: strength_M (a difference of 1 is odds of e; mean 0 in each group), interval_M2 of each
    (an infinite end is open), group_M (the number of its group: models joined by a chain of games; between groups
    nothing is known), and the tie parameter (0: none; 1: equals tie as often as one of them wins)."""

    strength_M: Floats
    interval_M2: Floats
    group_M: Ints
    tie: float


def davidson(
    games: Sequence[tuple[int, int, float]], models: int, clusters: Sequence[object] | None = None, prior: float = 0.1,
    level: float = 0.95,
) -> Strengths:  # fmt: skip
    """Strengths of models from games with ties: P(i wins) ∝ π_i, P(tie) ∝ ν √(π_i π_j). Davidson 1970, eq. 2.3.

    A game is (first, second, outcome): 1 the first won, 0 the second, 0.5 a tie. Without ties this is the Bradley–Terry
    model. `prior` is the precision of a normal prior at 0, which keeps the strength of an unbeaten model finite; 0 for
    maximum likelihood. Without games strengths are NaN, and ties alone say nothing of who is better.

    Intervals are of the profile likelihood, with the prior on how the others differ among themselves and none on the
    model asked about: one that won or lost all has an open end. Its cutoff grows with `clusters`, such as the
    prompt of each game, by what dependence does to the variance (Chandler and Bate 2007, "Inference for clustered data
    using the independence loglikelihood"), and by (G + 1) / (G + 2 − models) for a group with the worth of G
    independent games, a small-sample factor as Bartlett's (1937). Raises ValueError where prior = 0 and no finite
    strengths fit.
    """
    open_M2 = np.tile([-np.inf, np.inf], (models, 1))
    if not games:
        return Strengths(np.full(models, np.nan), open_M2, np.arange(models), float("nan"))
    played = Games.of(games, models)
    group_M = played.groups()
    if not played.lead_G.any():
        return Strengths(np.zeros(models), open_M2, group_M, float("inf"))
    same_MM = (group_M[:, None] == group_M).astype(float)
    extra = played.contrast_PX.shape[1] - models
    mean_XX = np.pad(same_MM / same_MM.sum(1), (0, extra))
    penalty_XX = np.pad(prior * np.eye(models), (0, extra)) + mean_XX  # a common shift changes nothing: it is pinned
    x = played.fitted(np.zeros(models + extra), penalty_XX)
    x = x - mean_XX @ x
    centre_MX = np.eye(models, models + extra) - mean_XX[:models]
    inverse_XX = np.linalg.inv(played.derivatives(x)[1] + penalty_XX)
    effect_M = _design_effects(played, clusters, inverse_XX, centre_MX, x, level)
    z2, interval_M2 = scipy.stats.norm.ppf((1 + level) / 2) ** 2, open_M2
    for model in np.flatnonzero(same_MM.sum(1) > 1):
        size, count = same_MM[model].sum(), same_MM[model, played.first_G].sum() / effect_M[model]
        few = (count + 1) / max(1.0, count + 2 - size)
        interval_M2[model] = played.ends(x, int(model), prior, float(z2 * few * effect_M[model]))
    return Strengths(x[:models], interval_M2, group_M, float(np.exp(x[models])) if extra else 0.0)


def to_elo(strength_M: ArrayLike) -> Floats:
    """Strengths on the scale of Elo ratings, where 400 points are odds of 10 and the mean is 1000. Elo 1978."""
    return 1000 + 400 / np.log(10) * np.asarray(strength_M, dtype=float)


def _design_effects(
    played: Games, clusters: Sequence[object] | None, inverse_XX: Floats, centre_MX: Floats, x: Floats, level: float
) -> Floats:
    """What the dependence of games of one cluster does to the variance of each model's strength: 1 or more, at most
    what games that are all alike within a cluster would do.

    The sandwich's variance (Huber 1967; White 1982) over that of independent games, as `win_rate` has it for shares:
    widened by Student's t for few clusters. One that won or lost all shows no spread, and one cluster neither: there it
    is the most it may be.
    """
    if clusters is None:
        return np.ones(played.models)
    cluster_G = np.unique([str(c) for c in clusters], return_inverse=True)[1]
    score_CX = played.cluster_scores(x, cluster_G)
    meat_XX = score_CX.T @ score_CX
    effect_M = np.ones(played.models)
    one_sided_M, group_M = played.is_one_sided(), played.groups()
    for model, weight_X in enumerate(centre_MX):
        size_C = np.bincount(cluster_G[group_M[played.first_G] == group_M[model]])
        size_C = size_C[size_C > 0]
        if not len(size_C):
            continue
        most, n = float((size_C**2).sum() / size_C.sum()), len(size_C)
        side_X = inverse_XX @ weight_X
        plain, spread = weight_X @ side_X, side_X @ meat_XX @ side_X
        if n == 1 or one_sided_M[model]:
            effect_M[model] = most
        else:
            wider = (scipy.stats.t.ppf((1 + level) / 2, n - 1) / scipy.stats.norm.ppf((1 + level) / 2)) ** 2
            effect_M[model] = np.clip(wider * n / (n - 1) * spread / plain, 1.0, most)
    return effect_M


def _counts(label_IR: ArrayLike) -> Floats:
    """How many raters gave each item each category, [I, C]."""
    label_IR = np.asarray(label_IR, dtype=np.int64)
    if label_IR.ndim != 2:
        raise ValueError(f"labels are items by raters, not an array of the shape {label_IR.shape}")
    categories = int(label_IR.max()) + 1 if label_IR.size and label_IR.max() >= 0 else 1
    return (label_IR[:, :, None] == np.arange(categories)).sum(1).astype(float)
