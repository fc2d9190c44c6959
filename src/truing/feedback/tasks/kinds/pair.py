"""Two answers compared: which is better, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator
from sqlalchemy import Table

from truing.data.records import Comparison, Rating, Record
from truing.feedback.people.simulated import rank
from truing.feedback.store import schema as t
from truing.feedback.tasks.kinds.binary import GOOD_OR_BAD
from truing.feedback.tasks.kinds.kind import (
    STRICT,
    Context,
    Gold,
    GoldTask,
    Id,
    Imported,
    Kind,
    Payload,
    Row,
    Shown,
    Simulation,
    compared,
    marked,
    refuse_nameless,
)

MARGIN = {1: 1 / 3, 2: 2 / 3, 3: 1.0}  # Touvron et al. 2023, arXiv:2307.09288, table 27, as shares of the greatest
SOFT = {1: 0.7, 2: 0.85, 3: 0.95}  # the probability that the preferred answer is the better one
MIDDLE = (0.5, 0.84)  # margins above which a preference that comes in is clear, and much
STRENGTHS = ("slightly", "clearly", "much")
BOTH = {"both_good": 1, "both_bad": 0}  # verdicts that say something of each answer, too
NEITHER = {"tie": "neither is better", "both_good": "both are good", "both_bad": "both are bad"}


class Verdict(BaseModel):
    """Two answers compared: one is better (slightly 1, clearly 2, much 3), or neither is."""

    model_config = STRICT

    verdict: Literal["better", "tie", "both_good", "both_bad", "cant_tell"]
    winner: Id | None = None
    strength: Literal[1, 2, 3] | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Verdict:
        if {self.winner is not None, self.strength is not None} != {self.verdict == "better"}:
            raise ValueError("winner and strength belong to the verdict better, and to no other")
        return self


class Pair(Verdict, Payload):
    """A comparison of two answers, and by each criterion asked for."""

    criteria: dict[str, Verdict] = Field(default_factory=dict)

    def answers(self) -> set[Id]:
        return super().answers() | {v.winner for v in (self, *self.criteria.values()) if v.winner is not None}

    def decided(self, shown: Sequence[Id]) -> Iterator[tuple[str, Verdict, Id, Id]]:
        """Criterion, verdict, winner and loser; "can't tell" decides nothing. A tie has the answers in the order of
        their ids."""
        for criterion, verdict in (("", self), *self.criteria.items()):
            if verdict.verdict != "cant_tell":
                winner = verdict.winner or min(shown)
                yield criterion, verdict, winner, next(a for a in shown if a != winner)


def complete(payload: Pair, shown: Shown) -> None:
    """Each criterion has a name."""
    refuse_nameless(payload.criteria)


def facts(payload: Pair, shown: Shown) -> Iterator[tuple[Table, Row]]:
    """A comparison by each criterion; both good or both bad marks each answer."""
    for criterion, verdict, winner, loser in payload.decided(shown.answers):
        tie = verdict.verdict != "better"
        row = compared(winner, loser, "pair", tie, verdict.strength, criterion=criterion)
        yield t.comparison, row | {"verdict": verdict.verdict}
    if payload.verdict in BOTH:
        for answer in shown.answers:
            yield t.rating, marked(answer, BOTH[payload.verdict], GOOD_OR_BAD, payload.verdict)


def records(payload: Pair, context: Context) -> Iterator[Record]:
    """The same as comparisons and ratings."""
    for criterion, verdict, winner, loser in payload.decided(list(context.texts)):
        target, margin = _target(verdict, context)
        yield Comparison(
            context.prompt,
            context.texts[winner],
            context.texts[loser],
            target,
            margin,
            weight=context.imported_or("weight", 1.0),
            criterion=criterion or context.criterion,
            origin=context.imported_or("origin", "pair"),
            **context.provenance,
        )
    if payload.verdict in BOTH:
        for text in context.texts.values():
            value = float(BOTH[payload.verdict])
            low, high, _ = GOOD_OR_BAD
            yield Rating(context.prompt, text, value, low, high, criterion=context.criterion, **context.provenance)


def _target(verdict: Verdict, context: Context) -> tuple[float, float]:
    """The probability that the winner is the better one, and the margin."""
    target, margin = context.imported_or("target", None), context.imported_or("margin", 0.0)
    if target is not None and context.strength == "margin":
        return target, margin
    if verdict.strength is None:
        return 0.5, 0.0
    if context.strength == "soft":
        # A file without margins tells no strength, but maybe how sure its judgement is.
        return (target, 0.0) if target is not None and not margin else (SOFT[verdict.strength], 0.0)
    return 1.0, MARGIN[verdict.strength] if context.strength == "margin" else 0.0


def words(payload: Pair, letter: Mapping[Id, str]) -> str:
    """The overall verdict."""
    if payload.winner is None or payload.strength is None:
        return NEITHER.get(payload.verdict, "can't tell")
    return f"{letter[payload.winner]} is {STRENGTHS[payload.strength - 1]} better"


def is_right(payload: Pair, accepted: Mapping[str, Any]) -> bool:
    """`winners`: answers that may be the better one; `verdicts` that may be given."""
    return payload.winner in accepted.get("winners", ()) or payload.verdict in accepted.get("verdicts", ())


def gold_task(record: Record) -> GoldTask | None:
    """A comparison known to be right: its chosen answer is, or the tie."""
    if not isinstance(record, Comparison):
        return None
    tie = {"verdicts": ["tie", *BOTH]}
    answers = [record.chosen, record.rejected]
    return GoldTask(answers, lambda ids: tie if record.target == 0.5 else {"winners": [ids[0]]})


def simulated(simulation: Simulation) -> Row:
    """The order of two, and how far apart they are in worth."""
    tiers = rank(simulation.annotator, simulation.prompt, simulation.texts, simulation.preference, simulation.rng).tiers
    if tiers[0] == tiers[1]:
        return {"verdict": "tie", "winner": None, "strength": None}
    one, two = simulation.worth()
    gap = abs(one - two)
    winner = simulation.ids[tiers.index(0)]
    return {"verdict": "better", "winner": winner, "strength": 1 if gap < 0.5 else 2 if gap < 1.5 else 3}


def from_records(records: Sequence[Record]) -> Imported | None:
    """A comparison; the strength that its margin or soft label comes nearest to is for statistics."""
    record = records[0]
    if not isinstance(record, Comparison):
        return None
    target = max(record.target, 1 - record.target)  # of the winner
    clear = max(record.margin, 2 * target - 1 if target < 1 else 0.0)

    def payload(ids: Sequence[Id]) -> Row:
        if target == 0.5:
            return {"verdict": "tie"}
        winner, strength = ids[record.target < 0.5], 1 + sum(clear > limit for limit in MIDDLE)
        return {"verdict": "better", "winner": winner, "strength": strength}

    given = {"target": target, "margin": record.margin, "weight": record.weight, "origin": record.origin}
    return Imported([record.chosen, record.rejected], payload, given=given)


KIND = Kind(
    name="pair",
    question="Which answer is better?",
    form=Pair,
    simulated=simulated,
    fewest=2,
    most=2,
    criteria="Which is more {name}?",
    compares=True,
    complete=complete,
    facts=facts,
    records=records,
    words=words,
    gold=Gold(is_right, gold_task),
    from_records=from_records,
)
