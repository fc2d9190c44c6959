"""What statistics read: the rows that follow from judgements, and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, func, select

from truing.feedback.store import schema as t
from truing.feedback.store.database import StoredRow
from truing.feedback.store.events import SKIP, standing
from truing.feedback.store.snapshots import members


def comparisons(connection: Connection, project: str, kinds: Sequence[str], frozen: str = "") -> Sequence[StoredRow]:
    """The comparisons that follow from events of these kinds; not of gold. Of what stands, or is in a snapshot."""
    return _derived(connection, t.comparison, project, kinds, frozen)


def ratings(connection: Connection, project: str, kinds: Sequence[str], frozen: str = "") -> Sequence[StoredRow]:
    """The ratings that follow from events of these kinds; as `comparisons`."""
    return _derived(connection, t.rating, project, kinds, frozen)


def _derived(
    connection: Connection, table: Table, project: str, kinds: Sequence[str], frozen: str
) -> Sequence[StoredRow]:
    """The rows of a table, each with who judged, by which event, in which order answers stood, and the prompt."""
    c, a = t.annotation.c, t.assignment.c
    counted: list[Any] = [c.id.in_(members(frozen))] if frozen else standing()
    asked = (
        select(table, c.annotator_id, c.kind, c.idempotency_key, a.shown_order, t.task.c.prompt_id.label("prompt"))
        .join(t.annotation, c.id == table.c.annotation_id)
        .join(t.assignment, a.id == c.assignment_id)
        .join(t.task, t.task.c.id == c.task_id)
        .where(t.task.c.project_id == project, ~t.task.c.gold, c.kind.in_(kinds))
        .where(*counted)
        .order_by(c.number, table.c.id)
    )
    return connection.execute(asked).all()


def lengths(connection: Connection, project: str) -> Sequence[StoredRow]:
    """Length in characters and hash of the text of each message of a project: id, length, content_hash."""
    m = t.message.c
    asked = select(m.id, func.length(m.content).label("length"), m.content_hash).join(t.prompt)
    return connection.execute(asked.where(t.prompt.c.project_id == project)).all()


def authors(connection: Connection, project: str) -> dict[str, str | None]:
    """The model version that wrote each message of a project, None where it was none."""
    m = t.message.c
    asked = select(m.id, m.model_version_id).join(t.prompt).where(t.prompt.c.project_id == project)
    return dict(connection.execute(asked).all())  # type: ignore[arg-type]


def model_names(connection: Connection) -> dict[str, str]:
    """The names of the model versions by their ids."""
    return dict(connection.execute(select(t.model_version.c.id, t.model_version.c.name)).all())  # type: ignore[arg-type]


def by_person(connection: Connection, project: str) -> Sequence[StoredRow]:
    """All events of a project that stand: annotator_id, name, simulated, kind, duration_ms."""
    c = t.annotation.c
    asked = (
        select(c.annotator_id, t.annotator.c.name, t.annotator.c.simulated, c.kind, c.duration_ms)
        .join(t.annotator, t.annotator.c.id == c.annotator_id)
        .join(t.task, t.task.c.id == c.task_id)
        .where(t.task.c.project_id == project, *standing())
    )
    return connection.execute(asked).all()


def tasks_and_places(connection: Connection, project: str) -> tuple[int, int]:
    """How many tasks there are, besides gold and reviews, and how many judgements they want."""
    tasks, places = connection.execute(
        select(func.count(), func.coalesce(func.sum(t.task.c.overlap), 0)).where(*_plain(project))
    ).one()
    return tasks, places


def count_judgements(connection: Connection, project: str, left_out: Sequence[str], since: float = 0.0) -> int:
    """How many judgements stand since a moment, without gold, reviews, skips and events of kinds that are left out."""
    c = t.annotation.c
    asked = _events(project).where(c.kind.not_in((SKIP, *left_out)))
    return connection.scalar(asked.where(c.created_at >= since)) or 0


def count_skips(connection: Connection, project: str) -> int:
    """How many skips stand, without gold and reviews."""
    return connection.scalar(_events(project).where(t.annotation.c.kind == SKIP)) or 0


def _plain(project: str) -> tuple[Any, ...]:
    return t.task.c.project_id == project, ~t.task.c.gold, t.task.c.reviews_id.is_(None)


def _events(project: str) -> Any:
    joined = t.annotation.join(t.task, t.task.c.id == t.annotation.c.task_id)
    return select(func.count()).select_from(joined).where(*_plain(project), *standing())
