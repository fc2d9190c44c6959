"""Snapshots, and the annotations that one holds as those who learn from them read them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, exists, insert, select

from truing.feedback.store import schema as t
from truing.feedback.store.database import StoredRow, add
from truing.feedback.store.events import SKIP, standing

Members = Select[Any] | Sequence[str]  # ids of annotations, or what selects them
_rated = exists().where(t.rating.c.annotation_id == t.annotation.c.id).label("rated")


def add_snapshot(
    connection: Connection, project: str, filters: Mapping[str, Any], hashed: str, annotations: Sequence[str]
) -> str:
    """A frozen list of annotations; returns its id."""
    values = {"filters": dict(filters), "hash": hashed, "count": len(annotations)}
    identity = add(connection, t.snapshot, project_id=project, **values)
    listed = [{"snapshot_id": identity, "annotation_id": one} for one in annotations]
    connection.execute(insert(t.snapshot_annotation), listed)
    return identity


def snapshot(connection: Connection, identity: str) -> StoredRow | None:
    """The row of a snapshot; None if there is none."""
    return connection.execute(select(t.snapshot).where(t.snapshot.c.id == identity)).first()


def with_hash(connection: Connection, project: str, hashed: str) -> str | None:
    """The id of the project's snapshot with this hash; None if there is none."""
    c = t.snapshot.c
    return connection.scalar(select(c.id).where(c.project_id == project, c.hash == hashed))


def members(identity: str) -> Select[Any]:
    """What selects the annotations of a snapshot."""
    c = t.snapshot_annotation.c
    return select(c.annotation_id).where(c.snapshot_id == identity)


def hashes(connection: Connection, identity: str) -> Sequence[StoredRow]:
    """The annotations of a snapshot: id, body_hash, and whether ratings follow from them (`rated`)."""
    c, member = t.annotation.c, t.snapshot_annotation.c
    asked = select(c.id, c.body_hash, _rated).join(t.snapshot_annotation, member.annotation_id == c.id)
    return connection.execute(asked.where(member.snapshot_id == identity)).all()


def current(
    connection: Connection, project: str, round_: int | None = None, annotators: Sequence[str] | None = None
) -> Sequence[StoredRow]:
    """As `hashes`, of what stands and is about answers: no skips, no gold, no reviews; only of a round of this number,
    and only by people with these names, where some are given."""
    c = t.annotation.c
    asked = (
        select(c.id, c.body_hash, _rated)
        .join(t.task, t.task.c.id == c.task_id)
        .where(
            t.task.c.project_id == project, ~t.task.c.gold, t.task.c.reviews_id.is_(None), c.kind != SKIP, *standing()
        )
        .order_by(c.number)
    )
    if round_ is not None:
        asked = asked.join(t.round_, t.round_.c.id == t.task.c.round_id).where(t.round_.c.number == round_)
    if annotators is not None:
        asked = asked.join(t.annotator, t.annotator.c.id == c.annotator_id).where(t.annotator.c.name.in_(annotators))
    return connection.execute(asked).all()


def judgements(connection: Connection, chosen: Members, kinds: Sequence[str]) -> Sequence[StoredRow]:
    """Annotations of these kinds in order, each with its task, its round, what was shown and what is usual."""
    c, task = t.annotation.c, t.task.c
    asked = (
        select(c.kind, c.payload, c.annotator_id, c.idempotency_key, c.created_at, t.assignment.c.shown_order)
        .add_columns(task.prompt_id, task.config, t.round_.c.number, t.project.c.config.label("usual"))
        .join(t.assignment, t.assignment.c.id == c.assignment_id)
        .join(t.task, task.id == c.task_id)
        .join(t.project, t.project.c.id == task.project_id)
        .outerjoin(t.round_, t.round_.c.id == task.round_id)
        .where(c.id.in_(chosen), c.kind.in_(kinds))
        .order_by(c.number)
    )
    return connection.execute(asked).all()


def whole_annotations(connection: Connection, identity: str) -> Sequence[StoredRow]:
    """The annotations of a snapshot with all their columns, what was shown, asked and usual, and the guideline."""
    c, member = t.annotation.c, t.snapshot_annotation.c
    asked = (
        select(
            t.annotation,
            t.assignment.c.shown_order,
            t.task.c.prompt_id,
            t.task.c.config,
            t.project.c.config.label("usual"),
            t.guideline.c.version.label("guideline"),
        )
        .join(t.snapshot_annotation, member.annotation_id == c.id)
        .join(t.assignment, t.assignment.c.id == c.assignment_id)
        .join(t.task, t.task.c.id == c.task_id)
        .join(t.project, t.project.c.id == t.task.c.project_id)
        .outerjoin(t.guideline, t.guideline.c.id == t.assignment.c.guideline_id)
        .where(member.snapshot_id == identity)
        .order_by(c.number)
    )
    return connection.execute(asked).all()


def answers_of_turns(connection: Connection, chosen: Members, kind: str) -> dict[str, list[str]]:
    """The answers of each candidate set of the conversations in which there are events of this kind."""
    c, turns = t.candidate.c, t.annotation.c
    prompts = select(t.task.c.prompt_id).join(t.annotation).where(turns.id.in_(chosen), turns.kind == kind)
    asked = (
        select(c.candidate_set_id, c.message_id)
        .join(t.candidate_set, t.candidate_set.c.id == c.candidate_set_id)
        .where(t.candidate_set.c.prompt_id.in_(prompts))
        .order_by(c.candidate_set_id, c.position)
    )
    found: dict[str, list[str]] = defaultdict(list)
    for row in connection.execute(asked):
        found[row.candidate_set_id].append(row.message_id)
    return found


def texts(connection: Connection, chosen: Members) -> dict[str, tuple[str, str | None]]:
    """Text and parent of all messages below the prompts that annotations are about, by their ids."""
    prompts = select(t.task.c.prompt_id).join(t.annotation).where(t.annotation.c.id.in_(chosen))
    m = t.message.c
    rows = connection.execute(select(m.id, m.content, m.parent_id).where(m.prompt_id.in_(prompts)))
    return {row.id: (row.content, row.parent_id) for row in rows}
