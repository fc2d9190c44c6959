"""Answers in order, the best first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field, model_validator
from sqlalchemy import Table

from truing.data.records import Comparison, Ranking, Record
from truing.errors import UserError
from truing.feedback.people.simulated import rank
from truing.feedback.store import schema as t
from truing.feedback.tasks.kinds.kind import (
    Context,
    Gold,
    Id,
    Imported,
    Kind,
    Payload,
    Row,
    Shown,
    Simulation,
    compared,
    in_order,
)


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

    def pairs(self) -> Iterator[tuple[Id, Id, bool]]:
        """Better, worse and whether they tie, of all pairs that it orders or ties; those below "the best three" are
        ordered against the three, and not among themselves."""
        place = {**self.tiers, **dict.fromkeys(self.unranked, len(self.tiers))}
        for better, worse, tie in in_order(place, place):
            if better not in self.unranked:
                yield better, worse, tie


def complete(payload: Rank, shown: Shown) -> None:
    """Every answer shown has its place."""
    if set(payload.tiers) | set(payload.unranked) != set(shown.answers):
        raise UserError("rank: every answer shown must be in tiers or in unranked")
    if len(payload.tiers) + len(payload.unranked) < 2:
        raise UserError("rank: there is nothing to rank")


def facts(payload: Rank, shown: Shown) -> Iterator[tuple[Table, Row]]:
    """The ranking, and a comparison of each two that it orders or ties."""
    yield t.ranking, {"tiers": {**payload.tiers, **dict.fromkeys(payload.unranked)}, "origin": "ranking"}
    for better, worse, tie in payload.pairs():
        yield t.comparison, compared(better, worse, "ranking", tie)


def records(payload: Rank, context: Context) -> Iterator[Record]:
    """A whole ranking stays one; "the best three" are the comparisons that they order, which together weigh one."""
    about = {"criterion": context.criterion, "origin": context.imported_or("origin", "ranking"), **context.provenance}
    texts = context.texts
    if not payload.unranked:
        answers = tuple(texts[answer] for answer in payload.tiers)
        yield Ranking(context.prompt, answers, tuple(payload.tiers.values()), **about)
        return
    pairs = [(texts[better], texts[worse], 0.5 if tie else 1.0) for better, worse, tie in payload.pairs()]
    teaching = sum(better != worse for better, worse, _ in pairs)
    for better, worse, target in pairs:
        yield Comparison(context.prompt, better, worse, target, weight=1 / (teaching or 1), **about)


def words(payload: Rank, letter: Mapping[Id, str]) -> str:
    """Letters from the best to the worst."""
    tiers: dict[int, list[str]] = {}
    for answer, tier in payload.tiers.items():
        tiers.setdefault(tier, []).append(letter[answer])
    ordered = [" = ".join(sorted(tiers[tier])) for tier in sorted(tiers)]
    return " > ".join([*ordered, *([", ".join(letter[a] for a in payload.unranked)] if payload.unranked else [])])


def is_right(payload: Rank, accepted: Mapping[str, Any]) -> bool:
    """`winners`: answers that may stand in the best tier."""
    return {answer for answer, tier in payload.tiers.items() if tier == 0} <= set(accepted.get("winners", ()))


def simulated(simulation: Simulation) -> Row:
    """All answers in order."""
    tiers = rank(simulation.annotator, simulation.prompt, simulation.texts, simulation.preference, simulation.rng).tiers
    return {"tiers": dict(zip(simulation.ids, tiers, strict=True)), "unranked": []}


def from_records(records: Sequence[Record]) -> Imported | None:
    """A ranking, its tiers counted from 0 without gaps."""
    record = records[0]
    if not isinstance(record, Ranking):
        return None
    if len(record.responses) > KIND.most:
        raise UserError(f"it has {len(record.responses)} answers: a task shows {KIND.most} at most")
    place = {tier: i for i, tier in enumerate(sorted(set(record.tiers)))}
    tiers = [place[tier] for tier in record.tiers]
    given = {"origin": record.origin}
    return Imported(record.responses, lambda ids: {"tiers": dict(zip(ids, tiers, strict=True))}, given=given)


KIND = Kind(
    name="rank",
    question="Put the answers in order, the best first.",
    form=Rank,
    simulated=simulated,
    fewest=2,
    keep_best=3,
    compares=True,
    complete=complete,
    facts=facts,
    records=records,
    words=words,
    gold=Gold(is_right),
    from_records=from_records,
)
