"""Tasks whose right answer is known: the quiz before the work, and hidden ones in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from truing.data.records import Comparison, Rating, Response
from truing.errors import UserError
from truing.feedback.store import content, tasks
from truing.feedback.store.content import Selection
from truing.feedback.store.tasks import Question
from truing.feedback.tasks import kinds, questions

EVERYBODY = 1_000_000  # a gold task's overlap: each person gets it once


def add_record(
    connection: Connection, project: str, record: Comparison | Rating, explanation: str, onboarding: bool = False
) -> str:
    """A gold task from a judgement known to be right: its chosen answer (or the tie), or its side of good or bad."""
    prompt = content.add_prompt(connection, project, record.prompt, source="gold")
    kind, known = kinds.gold_task(record)
    shown = [content.add_message(connection, prompt, Response(text)) for text in known.answers]
    candidates = content.add_candidates(connection, prompt, shown, selection=Selection("gold"))
    question = Question(kind.name, overlap=EVERYBODY, gold=True)
    task = questions.add_task(connection, project, question, prompt, candidates)
    tasks.add_gold(connection, task, known.accepted(shown), explanation, onboarding)
    return task


def is_right(kind: str, payload: Mapping[str, Any], accepted: Mapping[str, Any]) -> bool:
    """Whether a judgement is one of those accepted, as its kind tells them."""
    gold = kinds.EVENTS[kind].gold
    if gold is None:
        raise UserError(f"gold: a task of the kind {kind} has no right answer")
    return gold.is_right(kinds.stored(kind, payload), accepted)


def explained(connection: Connection, assignment: str, payload: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the quiz says at once of an answer to this assignment; None where it is no quiz."""
    found = tasks.quiz_of(connection, assignment)
    if found is None:
        return None
    return {"right": is_right(found.kind, payload, found.accepted), "explanation": found.explanation}


def results(connection: Connection, project: str, moment: float | None = None) -> dict[str, tuple[int, int]]:
    """Right answers and answers on gold, hidden and of the quiz, by person; as it was at a moment, or is now."""
    counted: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in tasks.judged_gold(connection, project, moment):
        counted[row.annotator_id][0] += is_right(row.kind, row.payload, row.accepted)
        counted[row.annotator_id][1] += 1
    return {person: (right, n) for person, (right, n) in counted.items()}
