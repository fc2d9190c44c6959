"""What a person can say of each kind of task, and what of it follows: the rows that statistics and training read.

A payload names answers by their id, never by the side they stood on. Its form has a version, stored beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from truing.errors import UserError

VERSION = 1
Kind = Literal["pair", "rank", "rate", "binary", "demo", "edit", "chat", "review"]
KINDS: tuple[Kind, ...] = ("pair", "rank", "rate", "binary", "demo", "edit", "chat", "review")
LONGEST_TEXT = 100_000  # characters

Row = dict[str, Any]
Id = str


STRICT = ConfigDict(extra="forbid", strict=True)


class Verdict(BaseModel):
    """Two answers compared: one is better (slightly 1, clearly 2, much 3), or neither is."""

    model_config = STRICT

    verdict: Literal["better", "tie", "both_good", "both_bad", "cant_tell"]
    winner: Id | None = None
    strength: Literal[1, 2, 3] | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Verdict:
        if (self.verdict == "better") != (self.winner is not None and self.strength is not None):
            raise ValueError("winner and strength belong to the verdict better, and to no other")
        if self.verdict != "better" and (self.winner is not None or self.strength is not None):
            raise ValueError("winner and strength belong to the verdict better, and to no other")
        return self


class Payload(BaseModel):
    """What all judgements may hold besides."""

    model_config = STRICT

    flags: dict[Id, list[str]] = Field(default_factory=dict)
    reason: str = Field(default="", max_length=LONGEST_TEXT)

    def answers(self) -> set[Id]:
        """Ids of the answers it speaks of."""
        return set(self.flags)


class Pair(Verdict, Payload):
    """A comparison of two answers, and of each criterion asked for."""

    criteria: dict[str, Verdict] = Field(default_factory=dict)

    def answers(self) -> set[Id]:
        return super().answers() | {v.winner for v in (self, *self.criteria.values()) if v.winner is not None}


class Rank(Payload):
    """Answers in tiers, 0 the best, equal is tied; `unranked` are below them all, in no order."""

    tiers: dict[Id, int] = Field(min_length=1, max_length=9)
    unranked: list[Id] = Field(default_factory=list, max_length=9)

    @model_validator(mode="after")
    def _dense(self) -> Rank:
        if set(self.tiers.values()) != set(range(len(set(self.tiers.values())))):
            raise ValueError("tiers are whole numbers from 0 without gaps")
        if set(self.tiers) & set(self.unranked) or len(set(self.unranked)) != len(self.unranked):
            raise ValueError("an answer stands once: in tiers or in unranked")
        return self

    def answers(self) -> set[Id]:
        return super().answers() | set(self.tiers) | set(self.unranked)


class Rate(Payload):
    """A number for each answer, and for each criterion asked for."""

    ratings: dict[Id, int] = Field(min_length=1)
    criteria: dict[str, dict[Id, int]] = Field(default_factory=dict)

    def answers(self) -> set[Id]:
        return super().answers() | set(self.ratings) | {a for ratings in self.criteria.values() for a in ratings}


class Binary(Payload):
    """Good or bad, for each answer."""

    good: dict[Id, bool] = Field(min_length=1)

    def answers(self) -> set[Id]:
        return super().answers() | set(self.good)


class Demo(Payload):
    """An answer written by the person."""

    text: str = Field(min_length=1, max_length=LONGEST_TEXT)


class Edit(Payload):
    """An answer corrected by the person."""

    message: Id
    text: str = Field(min_length=1, max_length=LONGEST_TEXT)

    def answers(self) -> set[Id]:
        return super().answers() | {self.message}


class Ended(Payload):
    """A chat that the person has ended; its turns were judged on the way."""

    ended: Literal[True]


class Review(Payload):
    """Whether another person's judgement is right."""

    verdict: Literal["agree", "disagree"]


FORMS: Mapping[str, type[Payload]] = {
    "pair": Pair, "rank": Rank, "rate": Rate, "binary": Binary, "demo": Demo, "edit": Edit, "chat": Ended,
    "turn": Pair, "review": Review,
}  # fmt: skip


def parse(kind: str, payload: object, shown: Sequence[Id], scale: tuple[int, int] = (1, 5)) -> Payload:
    """The payload, checked against the answers that were shown. Raises UserError with what is wrong."""
    try:
        parsed = TypeAdapter(FORMS[kind]).validate_python(payload)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        said = str(first["msg"]).removeprefix("Value error, ")
        raise UserError(f"{kind}: {where + ': ' if where else ''}{said}") from None
    strangers = parsed.answers() - set(shown)
    if strangers:
        raise UserError(f"{kind}: {sorted(strangers)[0]} is none of the answers shown")
    _complete(parsed, set(shown), scale)
    return parsed


def _complete(parsed: Payload, shown: set[Id], scale: tuple[int, int]) -> None:
    """Each answer must be spoken of where that is the task, within the scale."""
    if isinstance(parsed, Rank) and set(parsed.tiers) | set(parsed.unranked) != shown:
        raise UserError("rank: every answer shown must be in tiers or in unranked")
    if isinstance(parsed, Rank) and len(parsed.tiers) + len(parsed.unranked) < 2:
        raise UserError("rank: there is nothing to rank")
    if isinstance(parsed, Binary) and set(parsed.good) != shown:
        raise UserError("binary: every answer shown must be judged")
    if isinstance(parsed, Rate):
        if set(parsed.ratings) != shown:
            raise UserError("rate: every answer shown must be rated")
        for value in (v for given in (parsed.ratings, *parsed.criteria.values()) for v in given.values()):
            if not scale[0] <= value <= scale[1]:
                raise UserError(f"rate: {value} is outside the scale {scale[0]} to {scale[1]}")


def comparisons(parsed: Payload, shown: Sequence[Id]) -> Iterator[Row]:
    """Ordered facts about two answers: winner_id, loser_id, tie, strength, verdict, criterion, origin.

    A tie has the answers in the order of their ids. "Can't tell" is no fact. A ranking gives all pairs that it orders
    or ties; those below "the best three" are ordered against the three, and not among themselves. Ratings of several
    answers at one sitting give a comparison of each two, with origin `rating`; the difference is its strength.
    """
    if isinstance(parsed, Pair):
        for criterion, verdict in (("", parsed), *parsed.criteria.items()):
            if verdict.verdict == "cant_tell":
                continue
            winner = verdict.winner or min(shown)
            loser = next(a for a in shown if a != winner)
            yield _fact(
                winner, loser, verdict.verdict != "better", verdict.strength, verdict.verdict, criterion, "pair"
            )
    elif isinstance(parsed, Rank):
        last = len(parsed.tiers)
        place = {**parsed.tiers, **dict.fromkeys(parsed.unranked, last)}
        for a, b in combinations(sorted(place), 2):
            if place[a] == place[b] == last:
                continue
            yield _by_worth(a, b, -place[a], -place[b], "", "ranking")
    elif isinstance(parsed, Rate):
        for criterion, given in (("", parsed.ratings), *parsed.criteria.items()):
            for a, b in combinations(sorted(given), 2):
                yield _by_worth(a, b, given[a], given[b], criterion, "rating")
    elif isinstance(parsed, Binary):
        for a, b in combinations(sorted(parsed.good), 2):
            if parsed.good[a] != parsed.good[b]:
                yield _by_worth(a, b, parsed.good[a], parsed.good[b], "", "binary")


def ratings(parsed: Payload, scale: tuple[int, int]) -> Iterator[Row]:
    """Answers judged on their own: message_id, value, low, high, criterion, origin."""
    if isinstance(parsed, Rate):
        for criterion, given in (("", parsed.ratings), *parsed.criteria.items()):
            for message, value in given.items():
                yield {"message_id": message, "value": value, "low": scale[0], "high": scale[1],
                       "criterion": criterion, "origin": "rating"}  # fmt: skip
    elif isinstance(parsed, Binary):
        for message, good in parsed.good.items():
            yield _good_or_bad(message, good, "binary")


def both(parsed: Payload, shown: Sequence[Id]) -> Iterator[Row]:
    """Both good or both bad says something of each answer too."""
    if isinstance(parsed, Pair) and parsed.verdict in ("both_good", "both_bad"):
        for message in shown:
            yield _good_or_bad(message, parsed.verdict == "both_good", parsed.verdict)


def _good_or_bad(message: Id, good: bool, origin: str) -> Row:
    return {"message_id": message, "value": int(good), "low": 0, "high": 1, "criterion": "", "origin": origin}


def _by_worth(a: Id, b: Id, worth_a: float, worth_b: float, criterion: str, origin: str) -> Row:
    winner, loser = (a, b) if worth_a >= worth_b else (b, a)
    strength = min(3, int(abs(worth_a - worth_b))) if origin == "rating" and worth_a != worth_b else None
    tie = worth_a == worth_b
    return _fact(winner, loser, tie, strength, "tie" if tie else "better", criterion, origin)


def _fact(
    winner: Id, loser: Id, tie: bool, strength: int | None, verdict: str, criterion: str, origin: str
) -> Row:  # fmt: skip
    return {"winner_id": winner, "loser_id": loser, "tie": tie, "strength": strength, "verdict": verdict,
            "criterion": criterion, "origin": origin}  # fmt: skip
