"""Which of several answers to keep: the best, the most different, or both at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

By = Literal["reward", "diversity", "both"]


def distance(a: Sequence[int], b: Sequence[int], size: int = 3) -> float:
    """1 minus the share of token n-grams (up to `size`) in common (Jaccard): 0 the same, 1 nothing shared."""
    left, right = (
        {tuple(ids[i : i + n]) for n in range(1, size + 1) for i in range(len(ids) - n + 1)} for ids in (a, b)
    )
    return 1.0 - len(left & right) / len(left | right) if left or right else 0.0


def select(token_ids: Sequence[Sequence[int]], scores: Sequence[float] | None, keep: int, by: By) -> list[int]:
    """Indices of the `keep` answers to hold on to, best first.

    `reward` takes the highest scores; `diversity` begins with the first answer and then always takes the one furthest
    from those taken; `both` adds the standardised score to that distance (maximal marginal relevance, Carbonell and
    Goldstein 1998).
    """
    if by != "diversity" and scores is None:
        raise ValueError(f"selection by {by} needs scores")
    count = len(token_ids)
    score = np.zeros(count) if scores is None or by == "diversity" else np.asarray(scores, dtype=float)
    if by == "reward":
        return np.argsort(-score, kind="stable")[:keep].tolist()
    worth = (score - score.mean()) / (score.std() or 1.0)
    chosen = [int(np.argmax(worth))]
    while len(chosen) < min(keep, count):
        apart = np.array([min(distance(token_ids[i], token_ids[j]) for j in chosen) for i in range(count)])
        apart = apart + worth
        apart[chosen] = -np.inf
        chosen.append(int(np.argmax(apart)))
    return chosen
