"""Reviews: some judgements are shown to another person, who says whether they are right."""

from __future__ import annotations

import random

from sqlalchemy import Connection, exists, select

from truing.feedback.store import content
from truing.feedback.store import schema as t
from truing.feedback.tasks import kinds
from truing.feedback.tasks.kinds import review
from truing.feedback.tasks.leases import SKIP, standing

of = t.task.alias("of")


def ask(connection: Connection, project: str, count: int, seed: int = 0) -> int:
    """Make review tasks of judgements drawn at random, none twice. Returns how many there were to make."""
    c = t.annotation.c
    asked = (
        select(c.id, of.c.prompt_id, of.c.candidate_set_id, of.c.config)
        .join(of, of.c.id == c.task_id)
        .where(of.c.project_id == project, of.c.gold.is_(False), c.kind.in_(kinds.REVIEWED), *standing())
        .where(~exists().where(t.task.c.reviews_id == c.id))
        .order_by(c.number)
    )
    rows = connection.execute(asked).all()
    chosen = random.Random(seed).sample(rows, min(count, len(rows)))
    for row in chosen:
        content.add_task(connection, project, review.KIND.name, row.prompt_id, row.candidate_set_id, reviews=row.id)
    return len(chosen)


def results(connection: Connection, project: str) -> tuple[list[bool], list[str]]:
    """Whether each review agrees with what it reviews, and the prompt it is about."""
    c = t.annotation.c
    rows = connection.execute(
        select(c.payload, t.task.c.prompt_id)
        .join(t.task, t.task.c.id == c.task_id)
        .where(t.task.c.project_id == project, t.task.c.reviews_id.is_not(None), c.kind != SKIP, *standing())
    ).all()
    return [row.payload["verdict"] == "agree" for row in rows], [row.prompt_id for row in rows]
