"""A conversation with live models: the better answer of each turn is chosen, and the conversation goes on from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from truing.feedback.tasks.kinds import pair
from truing.feedback.tasks.kinds.kind import Kind, Payload, Row, Simulation

TURN = "turn"  # the kind of the event of a turn: its form is that of a pair
OF_TURN = ("candidates", "goes_on")  # what is stored beside a turn's choice: its answers, and the one that is followed


class Ended(Payload):
    """A chat that the person has ended; its turns were judged on the way."""

    ended: Literal[True]


def choice(payload: Mapping[str, Any]) -> Row:
    """What the person said of a turn's two answers."""
    return {name: value for name, value in payload.items() if name not in OF_TURN}


def simulated(simulation: Simulation) -> Row:
    """Nothing is said."""
    return {"ended": True}


KIND = Kind(
    name="chat",
    question="Talk with the model, and choose the better answer each time.",
    form=Ended,
    simulated=simulated,
    fewest=0,
    most=0,
    criteria=pair.KIND.criteria,
    turns=True,
)
