"""Simulated annotators: people with a hidden preference, and each with faults of their own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from truing.data.records import Comparison, Prompt, Ranking
from truing.settings import require

Preference = Callable[[Prompt, str], float]


@dataclass(frozen=True)
class Annotator:
    """One simulated person. All faults are zero by default: then the better answer always wins."""

    name: str
    error_rate: float = 0.0
    """Share of pairs ordered wrongly by inattention: twice as often, the answers are ordered at random."""
    temperature: float = 0.0
    """Boltzmann choice: answers this far apart in preference are ordered rightly 73 times of 100."""
    tie_threshold: float = 0.0
    """Answers closer than this are called a tie."""
    position_bias: float = 0.0
    """Added to the preference of the answer shown first."""
    laziness: float = 0.0
    """Share of judgements that just keep the order shown."""

    def __post_init__(self) -> None:
        require(
            self,
            ("error_rate", 0 <= self.error_rate <= 0.5, "between 0 and 0.5"),
            ("temperature", self.temperature >= 0, "0 or more"),
            ("tie_threshold", self.tie_threshold >= 0, "0 or more"),
            ("laziness", 0 <= self.laziness <= 1, "between 0 and 1"),
        )


def rank(
    annotator: Annotator, prompt: Prompt, responses: Sequence[str], preference: Preference, rng: np.random.Generator
) -> Ranking:
    """The annotator's ranking of responses shown in this order."""
    worth_K = np.array([preference(prompt, response) for response in responses])
    worth_K[0] += annotator.position_bias
    if annotator.temperature:
        # The Gumbel trick: ordering by noisy worth is the Plackett-Luce model of it (Yellott 1977).
        worth_K = worth_K + annotator.temperature * rng.gumbel(size=len(worth_K))
    threshold = annotator.tie_threshold
    if rng.random() < annotator.laziness:
        worth_K, threshold = -np.arange(len(responses), dtype=float), 0.0
    elif rng.random() < 2 * annotator.error_rate:
        worth_K, threshold = rng.random(len(responses)), 0.0
    return Ranking(prompt, tuple(responses), _tiers(worth_K, threshold), annotator=annotator.name, origin="simulated")


def compare(
    annotator: Annotator, prompt: Prompt, first: str, second: str, preference: Preference, rng: np.random.Generator
) -> Comparison:
    """The annotator's judgement of two responses."""
    tiers = rank(annotator, prompt, (first, second), preference, rng).tiers
    chosen, rejected = (first, second) if tiers[0] <= tiers[1] else (second, first)
    target = 0.5 if tiers[0] == tiers[1] else 1.0
    return Comparison(prompt, chosen, rejected, target, annotator=annotator.name, origin="simulated")


def ceiling(error_rate: float) -> float:
    """The highest accuracy that any reward model can reach on the labels of such annotators."""
    return 1.0 - error_rate


def _tiers(worth_K: np.ndarray, threshold: float) -> tuple[int, ...]:
    """Tiers from best to worst; neighbours in worth less than the threshold apart (or equal) share one."""
    order = np.argsort(-worth_K, kind="stable")
    tiers = np.zeros(len(worth_K), dtype=int)
    for above, here in itertools.pairwise(order):
        gap = worth_K[above] - worth_K[here]
        tiers[here] = tiers[above] + (gap > 0 and gap >= threshold)
    return tuple(int(tier) for tier in tiers)
