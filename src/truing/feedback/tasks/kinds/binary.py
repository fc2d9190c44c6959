"""Good or bad, for each answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field
from sqlalchemy import Table

from truing.data.records import Flag, Rating, Record
from truing.errors import UserError
from truing.feedback.store import schema as t
from truing.feedback.tasks.kinds.kind import (
    Context,
    Gold,
    GoldTask,
    Id,
    Imported,
    Kind,
    Payload,
    Row,
    Scale,
    Shown,
    Simulation,
    compared,
    in_order,
    marked,
)

GOOD_OR_BAD = Scale(0.0, 1.0)


class Binary(Payload):
    """Good or bad, for each answer."""

    good: dict[Id, bool] = Field(min_length=1)

    def answers(self) -> set[Id]:
        return super().answers() | set(self.good)


def complete(payload: Binary, shown: Shown) -> None:
    """Every answer shown is judged."""
    if set(payload.good) != set(shown.answers):
        raise UserError("binary: every answer shown must be judged")


def facts(payload: Binary, shown: Shown) -> Iterator[tuple[Table, Row]]:
    """A mark of each answer; a good one is better than a bad one beside it."""
    for better, worse, tie in in_order(payload.good, {answer: not good for answer, good in payload.good.items()}):
        if not tie:
            yield t.comparison, compared(better, worse, "binary")
    for answer, good in payload.good.items():
        yield t.rating, marked(answer, int(good), GOOD_OR_BAD, "binary")


def records(payload: Binary, context: Context) -> Iterator[Record]:
    """The marks as ratings from 0 to 1: `convert` makes comparisons of them. A flag that came in rates nothing."""
    if payload.flags and context.given is not None:
        return
    low, high, _ = GOOD_OR_BAD
    for number, (answer, good) in enumerate(payload.good.items()):
        about = {"criterion": context.criterion, **context.provenance_of(number)}
        yield Rating(context.prompt, context.texts[answer], float(good), low, high, **about)


def words(payload: Binary, letter: Mapping[Id, str]) -> str:
    """What is said of each answer."""
    return ", ".join(
        sorted(f"{letter[answer]} is {'good' if good else 'bad'}" for answer, good in payload.good.items())
    )


def is_right(payload: Binary, accepted: Mapping[str, Any]) -> bool:
    """`good`: whether each answer is."""
    return all(payload.good[answer] == good for answer, good in accepted["good"].items())


def gold_task(record: Record) -> GoldTask | None:
    """A rating known to be right: the answer is good above the middle of the scale."""
    if not isinstance(record, Rating):
        return None
    good = record.value > (record.low + record.high) / 2
    return GoldTask([record.response], lambda ids: {"good": {ids[0]: good}})


def simulated(simulation: Simulation) -> Row:
    """Good is what is worth more than nothing, but for errors."""
    worth = simulation.worth()
    wrong = simulation.rng.random(len(worth)) < simulation.annotator.error_rate
    return {"good": {i: bool((w > 0) != e) for i, w, e in zip(simulation.ids, worth, wrong, strict=True)}}


def from_records(records: Sequence[Record]) -> Imported | None:
    """A person's ratings of 0 or 1 on that scale, or a flag."""
    first = records[0]
    if isinstance(first, Flag):
        return Imported([first.response], lambda ids: {"good": {ids[0]: False}, "flags": {ids[0]: [first.name]}})
    ratings = [record for record in records if isinstance(record, Rating)]
    if not ratings or any((r.low, r.high) != (0, 1) or r.value not in (0, 1) for r in ratings):
        return None
    good = [rating.value == 1 for rating in ratings]
    return Imported([r.response for r in ratings], lambda ids: {"good": dict(zip(ids, good, strict=True))}, GOOD_OR_BAD)


KIND = Kind(
    name="binary",
    question="Is each answer good or bad?",
    form=Binary,
    simulated=simulated,
    compares=True,
    marks="good or bad",
    complete=complete,
    facts=facts,
    records=records,
    words=words,
    gold=Gold(is_right, gold_task),
    from_records=from_records,
)
