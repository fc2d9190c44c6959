"""Reviews: some judgements are shown to another person, who says whether they are right."""

from __future__ import annotations

import random

from sqlalchemy import Connection

from truing.feedback.store import tasks
from truing.feedback.store.tasks import Question
from truing.feedback.tasks import kinds, questions
from truing.feedback.tasks.kinds import review


def ask(connection: Connection, project: str, count: int, seed: int = 0) -> int:
    """Make review tasks of judgements drawn at random, none twice. Returns how many there were to make."""
    rows = tasks.unreviewed(connection, project, kinds.REVIEWED)
    chosen = random.Random(seed).sample(rows, min(count, len(rows)))
    for row in chosen:
        question = Question(review.KIND.name, reviews=row.id)
        questions.add_task(connection, project, question, row.prompt_id, row.candidate_set_id)
    return len(chosen)


def results(connection: Connection, project: str) -> tuple[list[bool], list[str]]:
    """Whether each review agrees with what it reviews, and the prompt it is about."""
    rows = tasks.given_reviews(connection, project)
    return [row.payload["verdict"] == "agree" for row in rows], [row.prompt_id for row in rows]
