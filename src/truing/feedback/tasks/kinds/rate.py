"""A number of a scale for each answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field
from sqlalchemy import Table

from truing.data.records import Rating, Record
from truing.errors import UserError
from truing.feedback.store import schema as t
from truing.feedback.tasks.kinds import binary
from truing.feedback.tasks.kinds.kind import (
    Context,
    Gold,
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
    refuse_nameless,
)

EXACT = 2**53  # whole numbers up to it are exact as floats
SCALES = {
    5: {"low": 1, "high": 5, "words": ["very bad", "bad", "fair", "good", "very good"]},
    7: {
        "low": 1,
        "high": 7,
        "words": ["very bad", "bad", "rather bad", "fair", "rather good", "good", "very good"],
    },
}


class Rate(Payload):
    """A number for each answer, and for each criterion asked for."""

    ratings: dict[Id, float] = Field(min_length=1)
    criteria: dict[str, dict[Id, float]] = Field(default_factory=dict)

    def answers(self) -> set[Id]:
        return super().answers() | {answer for _, ratings in self.given() for answer in ratings}

    def given(self) -> Iterator[tuple[str, dict[Id, float]]]:
        """Criterion, empty for the overall one, and its ratings."""
        yield "", self.ratings
        yield from self.criteria.items()


def complete(payload: Rate, shown: Shown) -> None:
    """Every answer shown has a number of the scale, a whole one where the scale has points."""
    if set(payload.ratings) != set(shown.answers):
        raise UserError("rate: every answer shown must be rated")
    refuse_nameless(payload.criteria)
    low, high, whole = shown.scale
    for value in (value for _, ratings in payload.given() for value in ratings.values()):
        if not low <= value <= high:
            raise UserError(f"rate: {value:g} is outside the scale {low:g} to {high:g}")
        if whole and value % 1:
            raise UserError(f"rate: {value:g} is no whole number of the scale {low:g} to {high:g}")


def facts(payload: Rate, shown: Shown) -> Iterator[tuple[Table, Row]]:
    """The ratings, and a comparison of each two answers at one sitting: the difference is its strength."""
    for criterion, ratings in payload.given():
        place = {answer: -value for answer, value in ratings.items()}
        for better, worse, tie in in_order(ratings, place):
            apart = None if tie else int(min(3, max(1, ratings[better] - ratings[worse])))
            yield t.comparison, compared(better, worse, "rating", tie, apart, criterion=criterion)
        for answer, value in ratings.items():
            yield t.rating, marked(answer, value, shown.scale, "rating", criterion)


def records(payload: Rate, context: Context) -> Iterator[Record]:
    """The ratings: `convert` makes comparisons of them."""
    low, high, _ = context.scale
    for criterion, ratings in payload.given():
        for number, (answer, value) in enumerate(ratings.items()):
            about = {"criterion": criterion or context.criterion, **context.provenance_of(number)}
            yield Rating(context.prompt, context.texts[answer], value, low, high, **about)


def words(payload: Rate, letter: Mapping[Id, str]) -> str:
    """The overall numbers."""
    return ", ".join(sorted(f"{letter[answer]}: {value:.12g}" for answer, value in payload.ratings.items()))


def is_right(payload: Rate, accepted: Mapping[str, Any]) -> bool:
    """`ratings`: the lowest and highest right value of each answer."""
    return all(low <= payload.ratings[answer] <= high for answer, (low, high) in accepted["ratings"].items())


def simulated(simulation: Simulation) -> Row:
    """The middle of the scale and the worth above or below it, with an error."""
    worth, low, high = simulation.worth(), simulation.task["scale"]["low"], simulation.task["scale"]["high"]
    spread, middle = max(simulation.annotator.temperature, simulation.annotator.error_rate), (low + high) / 2
    noisy = [w + simulation.rng.normal() * spread for w in worth]
    values = [int(min(high, max(low, round(middle + w)))) for w in noisy]
    return {"ratings": dict(zip(simulation.ids, values, strict=True))}


def from_records(records: Sequence[Record]) -> Imported | None:
    """A person's ratings of the answers to one prompt, on one scale; not those of good or bad alone."""
    ratings = [record for record in records if isinstance(record, Rating)]
    if not ratings or binary.from_records(records):
        return None
    low, high = ratings[0].low, ratings[0].high
    figures = (low, high, *(rating.value for rating in ratings))
    whole = all(number % 1 == 0 and abs(number) <= EXACT for number in figures)
    values = [int(rating.value) if whole else rating.value for rating in ratings]

    def payload(ids: Sequence[Id]) -> Row:
        return {"ratings": dict(zip(ids, values, strict=True))}

    return Imported([rating.response for rating in ratings], payload, Scale(low, high, whole))


KIND = Kind(
    name="rate",
    question="How good is each answer?",
    form=Rate,
    simulated=simulated,
    criteria="How {name} is it?",
    scale=SCALES[5],
    compares=True,
    marks="scale",
    complete=complete,
    facts=facts,
    records=records,
    words=words,
    gold=Gold(is_right),
    from_records=from_records,
)
