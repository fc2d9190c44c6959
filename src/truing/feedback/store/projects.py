"""Projects of the store: their settings, guidelines and rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, func, select, update

from truing.errors import UserError
from truing.feedback.store import schema as t
from truing.feedback.store.database import StoredRow, add, now

DEFAULT = "default"  # the project of what names none


def open_project(connection: Connection, name: str = DEFAULT, config: Mapping[str, Any] | None = None) -> str:
    """The project of this name, made if there is none."""
    found = connection.scalar(select(t.project.c.id).where(t.project.c.name == name))
    return found or add(connection, t.project, name=name, config=dict(config or {}))


def projects(connection: Connection) -> dict[str, str]:
    """The ids of the store's projects by their names."""
    return dict(connection.execute(select(t.project.c.name, t.project.c.id).order_by(t.project.c.name)).all())  # type: ignore[arg-type]


def project_named(connection: Connection, name: str = DEFAULT) -> str:
    """The id of a project; the only one there is needs no name. Raises UserError if there is none of this name."""
    names = projects(connection)
    if name == DEFAULT and len(names) == 1:
        return next(iter(names.values()))
    if name not in names:
        raise UserError(f'there is no project "{name}" in this store; there are: {", ".join(names) or "none"}')
    return names[name]


def settings(connection: Connection, project: str) -> dict[str, Any]:
    """What is usual in the project, where a task says nothing else."""
    return connection.execute(select(t.project.c.config).where(t.project.c.id == project)).scalar_one()


def add_guideline(connection: Connection, project: str, text: str) -> str:
    """A new version of the guideline, unless the newest one says just this."""
    newest = guideline(connection, project)
    if newest and newest.text == text:
        return newest.id
    return add(connection, t.guideline, project_id=project, version=(newest.version if newest else 0) + 1, text=text)


def guideline(connection: Connection, project: str) -> StoredRow | None:
    """The newest version of the guideline; None if there is none."""
    asked = select(t.guideline).where(t.guideline.c.project_id == project).order_by(t.guideline.c.version.desc())
    return connection.execute(asked.limit(1)).first()


def open_round(connection: Connection, project: str) -> StoredRow | None:
    """The round that is open; None if there is none."""
    c = t.round_.c
    asked = select(t.round_).where(c.project_id == project, c.closed_at.is_(None)).order_by(c.number.desc())
    return connection.execute(asked.limit(1)).first()


def rounds(connection: Connection, project: str) -> Sequence[StoredRow]:
    """All rounds in order."""
    c = t.round_.c
    return connection.execute(select(t.round_).where(c.project_id == project).order_by(c.number)).all()


def add_round(connection: Connection, project: str, number: int, served: Sequence[str]) -> str:
    """A round that is open, answered by these models."""
    values = {"number": number, "served": list(served), "metrics": {}, "opened_at": now()}
    return add(connection, t.round_, project_id=project, **values)


def end_round(connection: Connection, identity: str, snapshot: str, metrics: Mapping[str, Any]) -> None:
    """Close a round and the tasks of it that are open still."""
    values = {"closed_at": now(), "snapshot_id": snapshot, "metrics": dict(metrics)}
    connection.execute(update(t.round_).where(t.round_.c.id == identity).values(values))
    of_it = update(t.task).where(t.task.c.round_id == identity, t.task.c.state == "open")
    connection.execute(of_it.values(state="closed"))


def counts(connection: Connection, project: str) -> dict[str, int]:
    """How many prompts, tasks, annotations the project has."""
    of_task = select(func.count()).select_from(t.annotation.join(t.task, t.annotation.c.task_id == t.task.c.id))
    return {
        "prompts": _count(connection, t.prompt, t.prompt.c.project_id == project),
        "tasks": _count(connection, t.task, t.task.c.project_id == project),
        "annotations": connection.scalar(of_task.where(t.task.c.project_id == project)) or 0,
    }


def _count(connection: Connection, table: Table, condition: Any) -> int:
    return connection.scalar(select(func.count()).select_from(table).where(condition)) or 0
