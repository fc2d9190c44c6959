"""Rounds of the loop: what was asked with which models, until a snapshot closes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from truing.errors import UserError
from truing.feedback.judgements import snapshot
from truing.feedback.store import content
from truing.feedback.store import schema as t
from truing.feedback.store.database import now


def current(connection: Connection, project: str) -> Any:
    """The open round; None if there is none."""
    c = t.round_.c
    asked = select(t.round_).where(c.project_id == project, c.closed_at.is_(None)).order_by(c.number.desc())
    return connection.execute(asked.limit(1)).first()


def open_round(connection: Connection, project: str, served: Sequence[str] = ()) -> int:
    """Begin the next round, to which tasks made from now on belong; returns its number. One must not be open."""
    if found := current(connection, project):
        raise UserError(f"round {found.number} is still open: close it first")
    c = t.round_.c
    last = connection.scalar(select(c.number).where(c.project_id == project).order_by(c.number.desc()).limit(1)) or 0
    content.add(connection, t.round_, project_id=project, number=last + 1, served=list(served), metrics={},
              opened_at=now())  # fmt: skip
    content.audit(connection, "truing", "opened round", str(last + 1))
    return last + 1


def close_round(connection: Connection, project: str, metrics: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Freeze what stands now and end the open round. Returns its snapshot as `snapshot.described` does."""
    found = current(connection, project)
    if found is None:
        raise UserError("no round is open")
    frozen = snapshot.take(connection, project)
    connection.execute(
        update(t.round_)
        .where(t.round_.c.id == found.id)
        .values(closed_at=now(), snapshot_id=frozen, metrics=dict(metrics or {}))
    )
    connection.execute(
        update(t.task).where(t.task.c.round_id == found.id, t.task.c.state == "open").values(state="closed")
    )
    content.audit(connection, "truing", "closed round", str(found.number))
    return {"round": found.number, **snapshot.described(connection, frozen)}


def listed(connection: Connection, project: str) -> list[dict[str, Any]]:
    """All rounds in order."""
    c = t.round_.c
    rows = connection.execute(select(t.round_).where(c.project_id == project).order_by(c.number))
    return [
        {"round": row.number, "open": row.closed_at is None, "snapshot": row.snapshot_id, "served": row.served}
        for row in rows
    ]
