"""What people said of answers, as statistics read it: of two which is better, of one how good it is."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, func, select

from truing.feedback import schema as t
from truing.feedback.assign import TURN, standing


@dataclass(frozen=True)
class Vote:
    """One standing judgement of two answers: which was shown first, which is longer, which won."""

    annotation: str
    person: str
    prompt: str
    first: str
    second: str
    outcome: float
    """1: the first shown is the better one; 0: the second; 0.5: neither."""
    longer: float
    """1: the first shown is longer; 0: the second; 0.5: neither."""
    origin: str
    """What it follows from: a `pair` or a chat's turn, a `ranking`, a `rating` or `binary` marks at one sitting."""


@dataclass(frozen=True)
class Mark:
    """One standing judgement of one answer: good or bad (`binary`), or a number of a scale (`rating`)."""

    annotation: str
    person: str
    prompt: str
    message: str
    value: float
    low: float
    high: float
    origin: str


class Label(NamedTuple):
    """One of two things said of an item: of a pair, whether the answer with the smaller id won; of an answer, whether
    it is good."""

    item: Hashable
    person: str
    value: int
    annotation: str
    prompt: str


def votes(connection: Connection, project: str, frozen: str = "") -> list[Vote]:
    """Comparisons of two answers, as they were shown; not gold. What stands, or what is in a frozen snapshot.

    Those of pairs and chats, and those that rankings, ratings and good or bad at one sitting come to; edits compare
    nothing. Overall judgements, or, where there are none, those on the only criterion there is.
    """
    rows = _derived(connection, t.comparison, ("pair", "ranking", "rating", "binary"), project, frozen)
    m = t.message.c
    lengths = select(m.id, func.length(m.content)).join(t.prompt).where(t.prompt.c.project_id == project)
    length: dict[str, int] = dict(connection.execute(lengths).all())  # type: ignore[arg-type]
    found = []
    for row in rows:
        pair = sorted((row.winner_id, row.loser_id))
        order = row.shown_order if row.kind != TURN else _turn_order(connection, row.winner_id)
        first, second = [one for one in order if one in pair] if set(pair) <= set(order) else pair
        outcome = 0.5 if row.tie else float(row.winner_id == first)
        longer = 0.5 * (1 + (length[first] > length[second]) - (length[first] < length[second]))
        found.append(Vote(row.annotation_id, row.annotator_id, row.prompt, first, second, outcome, longer, row.origin))
    return found


def marks(connection: Connection, project: str, frozen: str = "") -> list[Mark]:
    """Answers judged on their own that stand, of tasks that ask for it; not gold. Criteria as of `votes`."""
    rows = _derived(connection, t.rating, ("rating", "binary"), project, frozen)
    return [
        Mark(row.annotation_id, row.annotator_id, row.prompt, row.message_id, row.value, row.low, row.high, row.origin)
        for row in rows
    ]


def _derived(
    connection: Connection, table: Table, origins: Sequence[str], project: str, frozen: str = ""
) -> Sequence[Any]:
    """The rows of a table that follow from annotations that count: who said it, and in which order answers stood."""
    c, a = t.annotation.c, t.assignment.c
    asked = (
        select(table, c.annotator_id, c.kind, a.shown_order, t.task.c.prompt_id.label("prompt"))
        .join(t.annotation, c.id == table.c.annotation_id)
        .join(t.assignment, a.id == c.assignment_id)
        .join(t.task, t.task.c.id == c.task_id)
        .where(t.task.c.project_id == project, ~t.task.c.gold, table.c.origin.in_(origins))
        .where(*_counted(frozen))
        .order_by(c.number, table.c.id)
    )
    rows = connection.execute(asked).all()
    if len({row.criterion for row in rows}) > 1:
        rows = [row for row in rows if not row.criterion]
    return rows


def _counted(frozen: str) -> list[Any]:
    """Conditions of an annotation that counts."""
    member = t.snapshot_annotation.c
    members = select(member.annotation_id).where(member.snapshot_id == frozen)
    return [t.annotation.c.id.in_(members)] if frozen else standing()


def _turn_order(connection: Connection, message: str) -> list[str]:
    """A chat's two answers in the order they were shown, which is that of the candidate set."""
    c = t.candidate.c
    found = connection.scalar(select(c.candidate_set_id).where(c.message_id == message))
    return list(connection.scalars(select(c.message_id).where(c.candidate_set_id == found).order_by(c.position)))


def labels_of(cast: Iterable[Vote], alone: Iterable[Mark]) -> list[Label]:
    """What people decided, as they were asked: of pairs which answer is better, of answers whether they are good.

    The comparisons that good and bad at one sitting come to are left out here: they are those marks once more.
    """
    found = []
    for vote in cast:
        if vote.outcome != 0.5 and vote.origin != "binary":
            pair = (min(vote.first, vote.second), max(vote.first, vote.second))
            won = (vote.first if vote.outcome == 1 else vote.second) == pair[0]
            found.append(Label(pair, vote.person, int(won), vote.annotation, vote.prompt))
    for mark in alone:
        if mark.origin == "binary":
            found.append(Label(mark.message, mark.person, int(mark.value > mark.low), mark.annotation, mark.prompt))
    return found
