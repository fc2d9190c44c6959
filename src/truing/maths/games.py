"""Games with ties as a likelihood: its maximum, and how far one strength may move before it fits badly.

Shapes: G games · P pairs of models that met · M models · C clusters · X parameters: the strengths, and where there are
ties the log of the tie parameter. P(i wins) ∝ π_i, P(tie) ∝ ν √(π_i π_j), strengths are log π: Davidson 1970, eq. 2.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FAR = 30.0  # nats; a strength that may be as far from the others may be anywhere
FLAT = 1e-6  # a curvature that changes no figure, and keeps the maximum of an unbeaten model on this side of FAR


@dataclass(frozen=True)
class Games:
    """Who met whom and how it ended: game by game, and all that the likelihood needs of it, pair by pair."""

    models: int
    first_G: Ints
    second_G: Ints
    """The models of each game, the lower number first."""
    lead_G: Floats
    """½ where the first won, −½ where the second did, 0 for a tie."""
    pair_G: Ints
    contrast_PX: Floats
    """Each pair's difference of strengths, as weights of the parameters."""
    lead_P: Floats
    ties_P: Floats
    games_P: Floats

    @classmethod
    def of(cls, games: Sequence[tuple[int, int, float]], models: int) -> Games:
        """From (first, second, outcome): 1 the first won, 0 the second, 0.5 a tie."""
        one_G, other_G, outcome_G = np.array(games, dtype=float).T
        first_G, second_G = np.minimum(one_G, other_G).astype(int), np.maximum(one_G, other_G).astype(int)
        lead_G = np.where(one_G < other_G, outcome_G - 0.5, 0.5 - outcome_G)
        key_P, pair_G = np.unique(first_G * models + second_G, return_inverse=True)
        ties_P = np.bincount(pair_G, lead_G == 0).astype(float)
        contrast_PX = np.zeros((len(key_P), models + bool(ties_P.any())))
        contrast_PX[np.arange(len(key_P)), key_P // models] += 1
        contrast_PX[np.arange(len(key_P)), key_P % models] -= 1
        lead_P, games_P = np.bincount(pair_G, lead_G).astype(float), np.bincount(pair_G).astype(float)
        return cls(models, first_G, second_G, lead_G, pair_G, contrast_PX, lead_P, ties_P, games_P)

    def groups(self) -> Ints:
        """The number of each model's group, [M]: models that a chain of games joins."""
        met_MM = np.zeros((self.models, self.models))
        met_MM[self.first_G, self.second_G] = 1
        return scipy.sparse.csgraph.connected_components(met_MM, directed=False)[1]

    def is_one_sided(self) -> NDArray[np.bool_]:
        """Whether a model won or lost all its games that had a winner, [M]."""
        up_G, down_G = self.lead_G > 0, self.lead_G < 0
        ends = ((self.first_G[up_G], self.second_G[down_G]), (self.first_G[down_G], self.second_G[up_G]))
        won_M, lost_M = (np.bincount(np.concatenate(each), minlength=self.models) for each in ends)
        return (won_M == 0) | (lost_M == 0)

    def shapes(self, x: Floats) -> tuple[Floats, Floats, Floats]:
        """Of each pair: the log of the sum of the three chances' weights, how much the first is ahead in expectation
        (−½ to ½), and the chance of a tie."""
        half_P = self.contrast_PX[:, : self.models] @ x[: self.models] / 2
        tie = math.exp(x[self.models]) if len(x) > self.models else 0.0
        sum_P = 2 * np.cosh(half_P) + tie
        return np.log(sum_P), np.sinh(half_P) / sum_P, tie / sum_P

    def value(self, x: Floats) -> float:
        """The log-likelihood."""
        ties = self.ties_P.sum() * x[self.models] if len(x) > self.models else 0.0
        return float(self.lead_P @ self.contrast_PX @ x - self.games_P @ self.shapes(x)[0] + ties)

    def derivatives(self, x: Floats) -> tuple[Floats, Floats]:
        """The gradient of the log-likelihood, and its negative Hessian (the information)."""
        _, ahead_P, tied_P = self.shapes(x)
        curvature_P = self.games_P * ((1 - tied_P) / 4 - ahead_P**2)
        gradient_X = self.contrast_PX.T @ (self.lead_P - self.games_P * ahead_P)
        information_XX = (self.contrast_PX.T * curvature_P) @ self.contrast_PX
        if len(x) > self.models:
            gradient_X[-1] = self.ties_P.sum() - self.games_P @ tied_P
            information_XX[-1] = -(self.contrast_PX.T @ (self.games_P * ahead_P * tied_P))
            information_XX[-1, -1] = self.games_P @ (tied_P - tied_P**2)
            information_XX[:, -1] = information_XX[-1]
        return gradient_X, information_XX

    def cluster_scores(self, x: Floats, cluster_G: Ints) -> Floats:
        """The gradient that each cluster of games adds to the log-likelihood, [C, X]."""
        clusters, parameters = int(cluster_G.max()) + 1, len(x)
        _, ahead_P, tied_P = self.shapes(x)
        pulls = (
            (self.first_G, self.lead_G - ahead_P[self.pair_G]),
            (self.second_G, ahead_P[self.pair_G] - self.lead_G),
            (self.models, (self.lead_G == 0) - tied_P[self.pair_G]),
        )
        sums = [
            np.bincount(cluster_G * parameters + place, pull, clusters * parameters)
            for place, pull in pulls[: 2 + (parameters > self.models)]
        ]
        return np.sum(sums, axis=0).reshape(clusters, parameters)

    def fitted(self, x: Floats, penalty_XX: Floats, fixed_KX: Floats | None = None) -> Floats:
        """Where the log-likelihood less ½ xᵀ penalty x is highest, by Newton's method from x; `fixed_KX @ x` stays.

        Raises ValueError where there is no such place.
        """
        size, fixed = len(x), 0 if fixed_KX is None else len(fixed_KX)
        whole, slope = np.zeros((size + fixed, size + fixed)), np.zeros(size + fixed)
        if fixed_KX is not None:
            whole[size:, :size], whole[:size, size:] = fixed_KX, fixed_KX.T
        for _ in range(300):
            gradient_X, information_XX = self.derivatives(x)
            whole[:size, :size], slope[:size] = information_XX + penalty_XX, gradient_X - penalty_XX @ x
            try:
                step_X = np.linalg.solve(whole, slope)[:size]
            except np.linalg.LinAlgError:  # so far out that the likelihood is flat
                break
            furthest = float(np.abs(step_X).max())
            x = x + step_X / max(1.0, furthest)  # at most 1 nat: far out it overshoots
            if furthest < 1e-5:  # the next step would be some 1e-10
                return x
        raise ValueError("no finite strengths fit: a model (or a set of them) won or lost every game; give prior=0.1")

    def ends(self, x: Floats, model: int, prior: float, cutoff: float) -> tuple[float, float]:
        """How far a model's strength, less the mean of its group, may move from the maximum before twice the
        log-likelihood has fallen by `cutoff`: (low, high), infinite where it never does.

        The `prior` is on the differences of the others among themselves, for else one unbeaten model would leave the
        strengths of all others, less the mean, without a lower end. Other groups have it as a whole. x is the fit to
        start from, with mean 0 in each group.
        """
        group_M = self.groups()
        member_X = np.pad(group_M == group_M[model], (0, len(x) - self.models)).astype(float)
        size = member_X.sum()
        others_X = member_X.copy()
        others_X[model] = 0
        weight_X = -member_X / size
        weight_X[model] += 1
        strange_X = np.pad(np.ones(self.models), (0, len(x) - self.models)) - member_X
        penalty_XX = prior * (np.diag(strange_X + others_X) - np.outer(others_X, others_X) / (size - 1))
        pinned_XX = FLAT * np.outer(weight_X, weight_X) + np.outer(member_X, member_X) / size
        top = self.fitted(x, penalty_XX + pinned_XX)
        best, fixed_KX = self._penalised(top, penalty_XX), np.stack([weight_X, member_X])
        middle = float(weight_X @ top)
        path_X = np.linalg.solve(self.derivatives(top)[1] + penalty_XX + pinned_XX, weight_X)
        variance = float(weight_X @ path_X)

        @cache
        def beyond(distance: float) -> float:
            if distance == 0:
                return -math.sqrt(cutoff)
            moved = self.fitted(top + distance / variance * path_X, penalty_XX, fixed_KX)
            return math.sqrt(max(0.0, 2 * (best - self._penalised(moved, penalty_XX)))) - math.sqrt(cutoff)

        first = min(1.0, 1.1 * math.sqrt(cutoff * variance))
        return middle - _distance(lambda d: beyond(-d), first), middle + _distance(beyond, first)

    def _penalised(self, x: Floats, penalty_XX: Floats) -> float:
        return self.value(x) - float(x @ penalty_XX @ x) / 2


def _distance(beyond: Callable[[float], float], high: float) -> float:
    """Where an increasing function that is negative at 0 becomes positive, sought from `high` on; infinite where that
    is far or nowhere."""
    while beyond(high) < 0:
        high *= 2
        if high > FAR:
            return math.inf
    return float(scipy.optimize.brentq(beyond, 0.0, high, xtol=1e-3))
