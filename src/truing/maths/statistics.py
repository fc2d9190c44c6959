"""How sure a figure is: intervals, win rates, best-of-n, calibration, strengths from games. numpy and scipy only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def wilson(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """The interval of a proportion from `successes` of `n`: (low, high), never outside [0, 1].

    Wilson 1927, "Probable inference". Sensible at 0 and n, where ±1.96 standard errors has no width. `n` and
    `successes` need not be whole (ties count half, clustered answers count less).
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"wilson needs 0 <= successes <= n and n > 0, not {successes} of {n}")
    z = float(scipy.stats.norm.ppf(0.5 + level / 2))
    rate, shrink = successes / n, 1 + z**2 / n
    middle = (rate + z**2 / (2 * n)) / shrink
    half = z * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2)) / shrink
    return max(0.0, middle - half), min(1.0, middle + half)


def clopper_pearson(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a proportion, (low, high): it covers at least as often as it says, mostly more.

    Clopper and Pearson 1934. `successes` and `n` need not be whole; of n = 0 nothing is known: (0, 1).
    """
    if not 0 <= successes <= n:
        raise ValueError(f"clopper_pearson needs 0 <= successes <= n, not {successes} of {n}")
    low, high = (1 - level) / 2, (1 + level) / 2
    return (
        float(scipy.stats.beta.ppf(low, successes, n - successes + 1)) if successes > 0 else 0.0,
        float(scipy.stats.beta.ppf(high, successes + 1, n - successes)) if successes < n else 1.0,
    )


def _cluster_sums(x: Floats, clusters: ArrayLike | None) -> tuple[Floats, Floats]:
    """The sum and the count of each cluster; without clusters each number is one of its own."""
    if clusters is None:
        return x, np.ones_like(x)
    _, number = np.unique(np.asarray(clusters), return_inverse=True)
    if number.shape != x.shape:
        raise ValueError(f"clusters needs one id for each number: {number.shape[0]} ids, {x.shape[0]} numbers")
    return np.bincount(number, weights=x).astype(np.float64), np.bincount(number).astype(np.float64)


def _clustered_mean(x: Floats, clusters: ArrayLike | None) -> tuple[float, float, int]:
    """The mean, its variance as it shows between clusters (0 for one), and how many clusters there are."""
    sum_C, count_C = _cluster_sums(x, clusters)
    mean, size = float(x.mean()), len(sum_C)
    deviation_C = sum_C - mean * count_C
    return mean, float((deviation_C**2).sum()) / x.size**2 * size / max(size - 1, 1), size


def mean_interval(x: ArrayLike, level: float = 0.95, clusters: ArrayLike | None = None) -> tuple[float, float]:
    """The interval of a mean: (low, high). Student 1908, "The probable error of a mean".

    `clusters` names what was drawn independently (the prompt of each answer): the variance is that between them, by the
    linearised ratio of their sums and counts (Cochran 1977, "Sampling techniques", eq. 6.13). Exact for normal numbers,
    however few; too narrow for few skewed ones (95 % asked for, of exponential numbers 88 % at n = 5, 93 % at 30). One
    cluster alone says nothing of the spread: (−inf, inf).
    """
    values = np.asarray(x, dtype=float)
    if not values.size:
        raise ValueError("mean_interval needs at least one number")
    mean, variance, n = _clustered_mean(values, clusters)
    if n == 1:
        return -math.inf, math.inf
    half = float(scipy.stats.t.ppf(0.5 + level / 2, n - 1)) * math.sqrt(variance)
    return mean - half, mean + half


def win_rate(outcomes: ArrayLike, clusters: ArrayLike | None = None, level: float = 0.95) -> tuple[float, float, float]:
    """The mean of outcomes from 1 (won) to 0 (lost), a tie 0.5: (rate, low, high). Wilson 1927 on the effective sample
    size; Kish 1965, "Survey sampling" (design effect).

    `clusters` names what is independent (the prompt, when it is judged in both orders or answered several times): the
    effective size is the n that gives a binomial the variance seen between clusters, less by Student's t² where there
    are few of them; at most the true n, and at least what is left if all outcomes of a cluster are one (clusters of
    equal size: their number). That least is taken where one side won everything, or one cluster shows no variance. What
    lies between, a tie or the mean of two orders, spreads less than won and lost: with it the interval is cautious
    (95 % asked for, 98 % or more measured on means of two orders). Raises ValueError for numbers outside [0, 1], and
    for none.
    """
    x = np.asarray(outcomes, dtype=float)
    if not x.size or not ((x >= 0) & (x <= 1)).all():
        raise ValueError("win_rate needs outcomes between 0 and 1, at least one")
    rate, n = float(x.mean()), float(x.size)
    if clusters is not None:
        _, variance, size = _clustered_mean(x, clusters)
        fewest = n**2 / float((_cluster_sums(x, clusters)[1] ** 2).sum())
        if rate in (0.0, 1.0) or size == 1:
            n = fewest
        elif variance > 0:
            wider = (scipy.stats.t.ppf(0.5 + level / 2, size - 1) / scipy.stats.norm.ppf(0.5 + level / 2)) ** 2
            n = float(np.clip(rate * (1 - rate) / variance / wider, fewest, n))
    low, high = wilson(rate * n, n, level)
    return rate, low, high


def interval_text(interval: Sequence[float | None], digits: str = ".4g") -> str:
    """An interval as people read it: [0.31, 0.52]; an open end, infinite or None, is a dash with a round bracket.

    The brackets are ISO 80000-2's convention.
    """
    low, high = (None if end is None or math.isinf(end) else f"{end:{digits}}" for end in interval)
    return f"{'(–' if low is None else f'[{low}'}, {'–)' if high is None else f'{high}]'}"


def best_of_n_kl(n: int) -> float:
    """log n − (n−1)/n nats: how far keeping the best of n drifts from the policy. Stiennon et al. 2020,
    arXiv:2009.01325, appendix G.3. Exact without ties, else an upper bound (Beirami et al. 2024, arXiv:2401.01879)."""
    if n < 1:
        raise ValueError(f"best_of_n_kl needs n >= 1, not {n}")
    return math.log(n) - (n - 1) / n


def best_of_n_curve(scores_PK: ArrayLike, ns: Sequence[int]) -> Floats:
    """The expected best score of n of the K samples of a prompt, averaged over P prompts, for each n of `ns`.

    Unbiased, from all C(K,n) subsets at once: the i-th smallest is the best in C(i−1, n−1) of them. Nakano et al.
    2021, arXiv:2112.09332, appendix I.
    """
    ordered_PK = np.sort(np.atleast_2d(np.asarray(scores_PK, dtype=float)), axis=1)
    samples = ordered_PK.shape[1]
    curve = []
    for n in ns:
        if not 1 <= n <= samples:
            raise ValueError(f"best of {n} cannot be told from {samples} samples a prompt: 1 <= n <= {samples}")
        weight_K = np.array([math.comb(i, n - 1) / math.comb(samples, n) for i in range(samples)])
        curve.append(float((ordered_PK @ weight_K).mean()))
    return np.array(curve)


@dataclass(frozen=True)
class ReliabilityBin:
    """The judgements whose predicted probability fell between `low` and `high`."""

    low: float
    high: float
    count: int
    probability: float  # mean predicted
    outcome: float  # mean observed


def calibration(probability: ArrayLike, outcome: ArrayLike, bins: int = 10) -> tuple[list[ReliabilityBin], float]:
    """The reliability table (bins of equal width that are not empty) and the expected calibration error.

    Guo et al. 2017, arXiv:1706.04599, eq. 3: the mean over judgements of |predicted − observed| of their bin. Outcomes
    are 0, 1, or 0.5 for a tie.
    """
    predicted, observed = np.asarray(probability, dtype=float), np.asarray(outcome, dtype=float)
    if predicted.shape != observed.shape or not predicted.size:
        raise ValueError(f"calibration needs as many outcomes as probabilities: {observed.size} and {predicted.size}")
    if predicted.min() < 0 or predicted.max() > 1:
        raise ValueError(f"probabilities lie in [0, 1], not [{predicted.min()}, {predicted.max()}]")
    edges = np.linspace(0, 1, bins + 1)
    number = np.clip(np.searchsorted(edges, predicted, side="right") - 1, 0, bins - 1)  # 1.0 is in the last bin
    rows = []
    for i in np.unique(number):
        inside = number == i
        means = float(predicted[inside].mean()), float(observed[inside].mean())
        rows.append(ReliabilityBin(float(edges[i]), float(edges[i + 1]), int(inside.sum()), *means))
    error = sum(row.count * abs(row.probability - row.outcome) for row in rows) / predicted.size
    return rows, float(error)


def bradley_terry_fit(wins_MM: ArrayLike, prior: float = 0.0) -> Floats:
    """The strength of each of M players, in nats: P(i beats j) = σ(strength_i − strength_j).

    `wins_MM[i, j]` is how often i beat j, a tie counting half on both sides. Maximum likelihood by Newton's method;
    Bradley and Terry 1952, Hunter 2004, "MM algorithms for generalized Bradley–Terry models" (when it exists: any two
    players of a group joined by a chain of wins in both directions). Players that no chain of games joins are groups of
    their own, each with mean zero: between them strengths say nothing, and one who met nobody has 0. `prior` adds that
    many ties between every two players, with which there is one group, and strengths always exist.
    """
    wins_MM = np.asarray(wins_MM, dtype=float)
    if wins_MM.ndim != 2 or wins_MM.shape[0] != wins_MM.shape[1] or not (wins_MM >= 0).all():
        raise ValueError(f"bradley_terry_fit needs wins of each over each, 0 or more, not an array {wins_MM.shape}")
    wins_MM = (wins_MM + prior / 2) * ~np.eye(len(wins_MM), dtype=bool)
    games_MM = wins_MM + wins_MM.T
    groups, group_M = scipy.sparse.csgraph.connected_components(games_MM > 0, directed=False)
    parts, _ = scipy.sparse.csgraph.connected_components(wins_MM > 0, directed=True, connection="strong")
    if parts > groups:
        raise ValueError("a player (or a set of them) won or lost every game: no finite strengths fit; give prior=1")
    same_MM = (group_M[:, None] == group_M).astype(float)
    strength_M = np.zeros(len(wins_MM))
    for _ in range(200):
        chance_MM = 1 / (1 + np.exp(strength_M[None] - strength_M[:, None]))
        slope_M = (wins_MM - games_MM * chance_MM).sum(1)
        weight_MM = games_MM * chance_MM * chance_MM.T
        curvature_MM = np.diag(weight_MM.sum(1)) - weight_MM
        # A common shift of a group's strengths changes nothing: a constant added to the curvature pins it down.
        step_M = np.linalg.solve(curvature_MM + same_MM * (weight_MM.sum() or 1.0) / len(wins_MM) ** 2, slope_M)
        furthest = float(np.abs(step_M).max(initial=0.0))
        strength_M = strength_M + step_M / max(1.0, furthest)  # at most 1 nat: far out it overshoots
        if furthest < 1e-9:
            return strength_M - same_MM @ strength_M / same_MM.sum(1)
    raise ValueError("bradley_terry_fit did not settle in 200 steps: too few games between some players; give prior=1")


def elo(games: Iterable[tuple[int, int, float]], players: int, k: float = 16.0, start: float = 1000.0) -> Floats:
    """Ratings after the games in their order; a game is (player a, player b, what a got: 1, 0.5 or 0).

    Elo 1978, "The rating of chessplayers": 400 points are odds of 10 to 1. It depends on the order; where all games are
    at hand `bradley_terry_fit` is better, and 400/ln 10 of its nats are on this scale.
    """
    rating_M = np.full(players, start)
    for a, b, got in games:
        expected = 1 / (1 + 10 ** ((rating_M[b] - rating_M[a]) / 400))
        rating_M[a] += k * (got - expected)
        rating_M[b] -= k * (got - expected)
    return rating_M
