"""What people did, one immutable row an event; what stands is what no later event supersedes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, exists, func, insert, or_, select

from truing.feedback.store import schema as t
from truing.feedback.store.database import StoredRow, add, new_id, now

RETRACTION, SKIP = "retraction", "skip"  # events that are no judgements
VERSION = 1  # of the form of payloads
LONGEST_FLAG = 100  # characters of its name
later = t.annotation.alias("later")


@dataclass(frozen=True)
class Event:
    """What a person did, as columns of its row: the key of the request and the hash of its body tell it again."""

    kind: str
    payload: Mapping[str, Any]
    idempotency_key: str
    body_hash: str
    duration_ms: int | None = None
    active_ms: int | None = None
    extra: bool = False
    supersedes_id: str | None = None


# Built once, for they are part of every request: SQLAlchemy takes longer to build a statement than SQLite to run it.
_LAST, _NEW = select(func.max(t.annotation.c.number)), insert(t.annotation)
_SAME = select(t.annotation.c.id, t.annotation.c.extra, t.annotation.c.body_hash, t.annotation.c.supersedes_id).where(
    t.annotation.c.annotator_id == bindparam("annotator"), t.annotation.c.idempotency_key == bindparam("key")
)


def standing(moment: float | None = None) -> list[Any]:
    """Conditions of an event that stands now, or stood at a moment: nothing supersedes it, and it is no retraction."""
    superseded = exists().where(later.c.supersedes_id == t.annotation.c.id)
    if moment is None:
        return [~superseded, t.annotation.c.kind != RETRACTION]
    superseded = superseded.where(later.c.created_at <= moment)
    return [~superseded, t.annotation.c.kind != RETRACTION, t.annotation.c.created_at <= moment]


def record(connection: Connection, assignment: StoredRow, event: Event) -> str:
    """The event as a new row; returns its id."""
    identity = new_id()
    whose = {
        "assignment_id": assignment.id,
        "task_id": assignment.task_id,
        "annotator_id": assignment.annotator_id,
    }
    number = (connection.scalar(_LAST) or 0) + 1
    values = {"id": identity, "number": number, "version": VERSION, "created_at": now()}
    connection.execute(_NEW, {**whose, **values, **vars(event)})
    return identity


def with_key(connection: Connection, annotator: str, key: str) -> StoredRow | None:
    """The event that a request with this key has led to: id, extra, body_hash, supersedes_id; None if there is none."""
    return connection.execute(_SAME, {"annotator": annotator, "key": key}).first()


def with_keys(connection: Connection, project: str, annotator: str, keys: Sequence[str]) -> set[str]:
    """Those of the keys that this person's events of the project have."""
    c = t.annotation.c
    known = (
        select(c.idempotency_key)
        .join(t.task, t.task.c.id == c.task_id)
        .where(c.annotator_id == annotator, c.idempotency_key.in_(keys), t.task.c.project_id == project)
    )
    return set(connection.scalars(known))


def event(connection: Connection, identity: str) -> StoredRow:
    """The row of an event that there is."""
    return connection.execute(select(t.annotation).where(t.annotation.c.id == identity)).one()


def newest(connection: Connection, annotator: str) -> StoredRow | None:
    """The last event of this person that stands; None if there is none."""
    c = t.annotation.c
    asked = select(t.annotation).where(c.annotator_id == annotator, *standing())
    return connection.execute(asked.order_by(c.number.desc()).limit(1)).first()


def payloads(connection: Connection, assignment: str, kind: str) -> Sequence[Mapping[str, Any]]:
    """The payloads of an assignment's events of this kind that stand, the newest first."""
    c = t.annotation.c
    asked = select(c.payload).where(c.assignment_id == assignment, c.kind == kind, *standing())
    return connection.scalars(asked.order_by(c.number.desc())).all()


def add_flag(connection: Connection, annotation: str, message: str, name: str) -> None:
    """A flag that an event sets on an answer."""
    add(connection, t.flag, annotation_id=annotation, message_id=message, name=name[:LONGEST_FLAG])


def judgements_about(connection: Connection, prompt: str, imported: str) -> Sequence[StoredRow]:
    """The judgements of a prompt that stand, and of those whose key begins with `imported` what was taken back too;
    with the task's config and the number of its round."""
    c, task = t.annotation.c, t.task.c
    asked = (
        select(c.id, c.idempotency_key, task.config, t.round_.c.number)
        .join(t.task, task.id == c.task_id)
        .outerjoin(t.round_, t.round_.c.id == task.round_id)
        .where(task.prompt_id == prompt, ~task.gold, task.reviews_id.is_(None), c.kind.not_in((SKIP, RETRACTION)))
        .where(or_(c.idempotency_key.startswith(imported), and_(*standing())))
    )
    return connection.execute(asked).all()


def history(connection: Connection, prompt: str) -> Sequence[StoredRow]:
    """Everything that was done about a prompt's answers, taken back or not, in order."""
    c = t.annotation.c
    asked = (
        select(c.number, c.kind, c.payload, c.created_at, t.annotator.c.name, later.c.id.label("superseded"))
        .join(t.task, t.task.c.id == c.task_id)
        .join(t.annotator, t.annotator.c.id == c.annotator_id)
        .outerjoin(later, later.c.supersedes_id == c.id)
        .where(t.task.c.prompt_id == prompt)
        .order_by(c.number)
    )
    return connection.execute(asked).all()


_OF_PERSON = (
    select(
        func.count(),
        func.coalesce(func.sum(case((t.annotation.c.created_at >= bindparam("since"), 1), else_=0)), 0),
    )
    .select_from(t.annotation.join(t.task, t.annotation.c.task_id == t.task.c.id))
    .where(t.annotation.c.annotator_id == bindparam("annotator"), t.task.c.project_id == bindparam("project"))
    .where(t.annotation.c.kind != SKIP, *standing())
)


def count_of_person(connection: Connection, project: str, annotator: str, since: float) -> tuple[int, int]:
    """How many judgements of this person stand, in all and since a moment."""
    asked = {"project": project, "annotator": annotator, "since": since}
    in_all, recent = connection.execute(_OF_PERSON, asked).one()
    return in_all, recent
