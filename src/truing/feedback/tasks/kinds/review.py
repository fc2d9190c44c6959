"""Whether another person's judgement is right."""

from __future__ import annotations

from typing import Literal

from truing.feedback.tasks.kinds.kind import Kind, Payload, Row, Simulation


class Review(Payload):
    """The verdict on it."""

    verdict: Literal["agree", "disagree"]


def simulated(simulation: Simulation) -> Row:
    """Agreement, but for errors."""
    return {"verdict": "agree" if simulation.rng.random() > simulation.annotator.error_rate else "disagree"}


KIND = Kind(name="review", question="Is this judgement right?", form=Review, simulated=simulated)
