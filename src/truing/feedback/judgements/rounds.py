"""Rounds of the loop: what was asked with which models, until a snapshot closes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from truing.errors import UserError
from truing.feedback.judgements import snapshot
from truing.feedback.store import projects
from truing.feedback.store.database import audit


def open_round(connection: Connection, project: str, served: Sequence[str] = ()) -> int:
    """Begin the next round, to which tasks made from now on belong; returns its number. One must not be open."""
    if found := projects.open_round(connection, project):
        raise UserError(f"round {found.number} is still open: close it first")
    before = projects.rounds(connection, project)
    number = before[-1].number + 1 if before else 1
    projects.add_round(connection, project, number, served)
    audit(connection, "truing", "opened round", str(number))
    return number


def close_round(connection: Connection, project: str, metrics: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Freeze what stands now and end the open round. Returns its snapshot as `snapshot.described` does."""
    found = projects.open_round(connection, project)
    if found is None:
        raise UserError("no round is open")
    frozen = snapshot.take(connection, project)
    projects.end_round(connection, found.id, frozen, metrics or {})
    audit(connection, "truing", "closed round", str(found.number))
    return {"round": found.number, **snapshot.described(connection, frozen)}


def listed(connection: Connection, project: str) -> list[dict[str, Any]]:
    """All rounds in order."""
    return [
        {"round": row.number, "open": row.closed_at is None, "snapshot": row.snapshot_id, "served": row.served}
        for row in projects.rounds(connection, project)
    ]
