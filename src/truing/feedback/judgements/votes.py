"""What people said of answers, as statistics read it: of two which is better, of one how good it is."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from truing.feedback.judgements.snapshot import IMPORTED, nobody
from truing.feedback.store import content, statistics
from truing.feedback.store.database import StoredRow
from truing.feedback.tasks import kinds
from truing.feedback.tasks.kinds.chat import TURN


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
    rows = _on_one_criterion(statistics.comparisons(connection, project, kinds.COMPARING, frozen))
    length, hashed = dict[str, int](), dict[str, str]()
    for message, count, text_hash in statistics.lengths(connection, project):
        length[message], hashed[message] = count, text_hash
    found = []
    for row in rows:
        pair = sorted((row.winner_id, row.loser_id))
        order = row.shown_order if row.kind != TURN else content.answers_beside(connection, row.winner_id)
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
    rows = _on_one_criterion(statistics.ratings(connection, project, kinds.MARKING, frozen))
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


def _on_one_criterion(rows: Sequence[StoredRow]) -> Sequence[StoredRow]:
    """Overall judgements, or, where there are none, those on the only criterion there is."""
    return [row for row in rows if not row.criterion] if len({row.criterion for row in rows}) > 1 else rows


def _good_or_bad(row: StoredRow) -> bool:
    return kinds.EVENTS[row.kind].marks == "good or bad"


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
