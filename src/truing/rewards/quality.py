"""How good a reward model is: held-out accuracy with its interval, next to the trivial baselines, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from truing.maths import statistics


@dataclass(frozen=True)
class ScoredPair:
    """One held-out comparison as the reward model sees it."""

    score_chosen: float
    score_rejected: float
    length_chosen: int
    length_rejected: int
    root: str
    target: float = 1.0


def quality(pairs: Sequence[ScoredPair]) -> dict[str, Any]:
    """Figures for a summary. Judgements that are ties are left out of accuracy; equal scores or lengths count a half.

    Intervals take root prompts as independent, not pairs.
    """
    decided = [p for p in pairs if p.target != 0.5]
    if not decided:
        return {"held_out_pairs": 0}
    sign = np.array([1.0 if p.target > 0.5 else -1.0 for p in decided])
    gap = np.array([p.score_chosen - p.score_rejected for p in decided])
    longer = np.array([p.length_chosen - p.length_rejected for p in decided], dtype=float)
    roots = np.unique([p.root for p in decided], return_inverse=True)[1]
    right, longer_wins = _half_steps(sign * gap), _half_steps(sign * longer)
    _, low, high = statistics.win_rate(right, clusters=roots)
    rows, ece = statistics.calibration(
        1 / (1 + np.exp(-np.concatenate([gap, -gap]))), np.concatenate([sign, -sign]) > 0
    )
    return {
        "reward_model_accuracy": float(right.mean()),
        "reward_model_accuracy_interval": [low, high],
        "longer_wins_accuracy": float(longer_wins.mean()),
        "shorter_wins_accuracy": float(1 - longer_wins.mean()),
        "held_out_pairs": len(decided),
        "held_out_prompts": int(roots.max()) + 1,
        "calibration_error": ece,
        "calibration": [
            {"low": r.low, "high": r.high, "count": r.count, "predicted": r.probability, "observed": r.outcome}
            for r in rows
        ],
        "score_length_correlation": _correlation(gap, longer),
    }


def _half_steps(x: np.ndarray) -> np.ndarray:
    return (np.sign(x) + 1) / 2


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.corrcoef(x, y)[0, 1]) if len(x) > 1 and x.std() > 0 and y.std() > 0 else 0.0
