"""What people said of answers, as statistics read it: of two which is better, of one how good it is."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, func, select

from truing.feedback.judgements.snapshot import IMPORTED, nobody
from truing.feedback.store import schema as t
from truing.feedback.tasks import kinds
from truing.feedback.tasks.kinds.chat import TURN
from truing.feedback.tasks.leases import standing


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
    pair: tuple[str, str]
    """Both answers, in an order that depends on their texts alone: a copy of the store has the same."""
    was_shown: bool
    """Whether a person has seen them in this order; of imported judgements it is not known."""
    by_marks: bool
    """Whether it follows from answers that were said to be good or bad at one sitting: those marks once more."""


@dataclass(frozen=True)
class Mark:
    """One standing judgement of one answer: good or bad, or a number of a scale."""

    annotation: str
    person: str
    prompt: str
    message: str
    value: float
    low: float
    high: float
    good_or_bad: bool


class Label(NamedTuple):
    """One of two things said of an item: of a pair, whether the first of it won; of an answer, whether
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
    rows = _derived(connection, t.comparison, kinds.COMPARING, project, frozen)
    m = t.message.c
    texts = select(m.id, func.length(m.content), m.content_hash).join(t.prompt).where(t.prompt.c.project_id == project)
    length, hashed = dict[str, int](), dict[str, str]()
    for message, count, text_hash in connection.execute(texts):
        length[message], hashed[message] = count, text_hash
    found = []
    for row in rows:
        pair = sorted((row.winner_id, row.loser_id))
        order = row.shown_order if row.kind != TURN else _turn_order(connection, row.winner_id)
        first, second = [one for one in order if one in pair] if set(pair) <= set(order) else pair
        outcome = 0.5 if row.tie else float(row.winner_id == first)
        longer = 0.5 * (1 + (length[first] > length[second]) - (length[first] < length[second]))
        by_text = (first, second) if hashed[first] <= hashed[second] else (second, first)
        shown = not row.idempotency_key.startswith(IMPORTED)
        who = row.annotation_id, row.annotator_id, row.prompt
        found.append(Vote(*who, first, second, outcome, longer, by_text, shown, _good_or_bad(row)))
    return found


def marks(connection: Connection, project: str, frozen: str = "") -> list[Mark]:
    """Answers judged on their own that stand, of tasks that ask for it; not gold. Criteria as of `votes`."""
    rows = _derived(connection, t.rating, kinds.MARKING, project, frozen)
    return [
        Mark(
            row.annotation_id,
            row.annotator_id,
            row.prompt,
            row.message_id,
            row.value,
            row.low,
            row.high,
            _good_or_bad(row),
        )
        for row in rows
    ]


def _derived(
    connection: Connection, table: Table, events: Sequence[str], project: str, frozen: str = ""
) -> Sequence[Any]:
    """The rows of a table that follow from such events, where they count: who said it, and in which order answers
    stood."""
    c, a = t.annotation.c, t.assignment.c
    asked = (
        select(table, c.annotator_id, c.kind, c.idempotency_key, a.shown_order, t.task.c.prompt_id.label("prompt"))
        .join(t.annotation, c.id == table.c.annotation_id)
        .join(t.assignment, a.id == c.assignment_id)
        .join(t.task, t.task.c.id == c.task_id)
        .where(t.task.c.project_id == project, ~t.task.c.gold, c.kind.in_(events))
        .where(*_counted(frozen))
        .order_by(c.number, table.c.id)
    )
    rows = connection.execute(asked).all()
    if len({row.criterion for row in rows}) > 1:
        rows = [row for row in rows if not row.criterion]
    return rows


def _good_or_bad(row: Any) -> bool:
    return kinds.EVENTS[row.kind].marks == "good or bad"


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


def labels_of(connection: Connection, cast: Iterable[Vote], alone: Iterable[Mark]) -> list[Label]:
    """What people decided, as they were asked: of pairs which answer is better, of answers whether they are good.

    The comparisons that good and bad at one sitting come to are left out here: they are those marks once more. So is
    what came in without a name: it may be many people's.
    """
    found, unnamed = list[Label](), nobody(connection)
    for vote in cast:
        if vote.outcome != 0.5 and not vote.by_marks:
            won = (vote.first if vote.outcome == 1 else vote.second) == vote.pair[0]
            found.append(Label(vote.pair, vote.person, int(won), vote.annotation, vote.prompt))
    for mark in alone:
        if mark.good_or_bad:
            found.append(Label(mark.message, mark.person, int(mark.value > mark.low), mark.annotation, mark.prompt))
    return [label for label in found if label.person != unnamed]
