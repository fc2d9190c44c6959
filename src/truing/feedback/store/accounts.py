"""People of the store, and the hashes of the secrets that let them in."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, or_, select, update

from truing.feedback.store import schema as t
from truing.feedback.store.database import StoredRow, add, now


def has_id(connection: Connection, identity: str) -> bool:
    """Whether somebody has this id."""
    return connection.scalar(select(t.annotator.c.id).where(t.annotator.c.id == identity)) is not None


def named(connection: Connection, name: str) -> StoredRow | None:
    """The person of this name, who may be disabled; None if there is none."""
    return connection.execute(select(t.annotator).where(t.annotator.c.name == name)).first()


def add_annotator(connection: Connection, name: str, role: str, password_hash: str | None, simulated: bool) -> str:
    """A new person; returns the id."""
    values = {"role": role, "password_hash": password_hash, "simulated": simulated}
    return add(connection, t.annotator, name=name, **values)


def owner_has_password(connection: Connection) -> bool:
    """Whether an owner has to give a password."""
    c = t.annotator.c
    return connection.scalar(select(c.id).where(c.role == "owner", c.password_hash.is_not(None))) is not None


def add_token(
    connection: Connection, annotator: str | None, secret_hash: str, purpose: str, role: str, expires_at: float
) -> None:
    """A secret that lets somebody in, by its hash."""
    values = {"hash": secret_hash, "purpose": purpose, "role": role, "expires_at": expires_at}
    add(connection, t.token, annotator_id=annotator, **values)


def use_up(connection: Connection, secret_hash: str, purpose: str) -> str | None:
    """Use a one-time secret; returns its role, or None if it is unknown, used or expired."""
    used = update(t.token).where(*_unused(secret_hash, purpose)).values(used_at=now())
    return connection.scalar(used.returning(t.token.c.role))


def is_unused(connection: Connection, secret_hash: str, purpose: str) -> bool:
    """Whether a one-time secret could still be used."""
    return connection.scalar(select(t.token.c.id).where(*_unused(secret_hash, purpose))) is not None


def _unused(secret_hash: str, purpose: str) -> tuple[ColumnElement[bool], ...]:
    c = t.token.c
    return c.hash == secret_hash, c.purpose == purpose, c.used_at.is_(None), c.expires_at > now()


def holder(connection: Connection, secret_hash: str, purpose: str) -> StoredRow | None:
    """Who has a session or an API token that lasts: id, name, role; None if nobody."""
    c, a = t.token.c, t.annotator.c
    asked = (
        select(a.id, a.name, a.role)
        .join(t.token, c.annotator_id == a.id)
        .where(c.hash == secret_hash, c.purpose == purpose, c.used_at.is_(None), a.disabled_at.is_(None))
        .where(or_(c.expires_at.is_(None), c.expires_at > now()))
    )
    return connection.execute(asked).first()


def end(connection: Connection, secret_hash: str) -> None:
    """A secret that lets nobody in any more."""
    connection.execute(update(t.token).where(t.token.c.hash == secret_hash).values(used_at=now()))
