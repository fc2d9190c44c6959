"""Who may come in: passwords, one-time links, sessions. Secrets are stored as hashes only."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection

from truing.errors import UserError
from truing.feedback.store import accounts
from truing.feedback.store.database import audit, now

Role = Literal["owner", "reviewer", "annotator"]
Purpose = Literal["setup", "invitation", "session", "api"]
ROLES: tuple[Role, ...] = ("annotator", "reviewer", "owner")  # each may do what those before it may
DAY_S = 86_400.0
LIVES_S: dict[Purpose, float] = {"setup": DAY_S, "invitation": 14 * DAY_S, "session": 30 * DAY_S, "api": 365 * DAY_S}
SHORTEST_PASSWORD = 10

_hasher = PasswordHasher()


@dataclass(frozen=True)
class Person:
    """Somebody signed in."""

    id: str
    name: str
    role: Role
    secret: str = ""

    @property
    def csrf(self) -> str:
        """What a form of theirs must send along: known to our pages and to nobody else's."""
        return hmac.new(self.secret.encode(), b"csrf", hashlib.sha256).hexdigest()

    def may(self, role: Role) -> bool:
        """Whether this role, or a higher one, is theirs."""
        return ROLES.index(self.role) >= ROLES.index(role)


def normal_name(name: str) -> str:
    """A name as it is stored and looked for: without spaces around it, with single ones within."""
    return " ".join(name.split())


def anybody_named(connection: Connection, name: str) -> str | None:
    """The id of the person with this name in any role, or with none any longer; None if there is none."""
    found = accounts.named(connection, normal_name(name))
    return found.id if found else None


def add_person(
    connection: Connection, name: str, role: Role = "annotator", password: str = "", simulated: bool = False
) -> str:
    """A new person. Raises UserError for an empty or taken name, or a short password."""
    name = normal_name(name)
    if not 1 <= len(name) <= 100:
        raise UserError("a name has 1 to 100 characters")
    if anybody_named(connection, name):
        raise UserError(f'the name "{name}" is taken')
    if password and len(password) < SHORTEST_PASSWORD:
        raise UserError(f"a password has {SHORTEST_PASSWORD} characters or more")
    hashed = _hasher.hash(password) if password else None
    person = accounts.add_annotator(connection, name, role, hashed, simulated)
    audit(connection, name, "joined", role)
    return person


def person_named(connection: Connection, name: str, role: Role = "owner") -> str | None:
    """The id of the person with this name and role; None if there is none."""
    found = accounts.named(connection, normal_name(name))
    return found.id if found and found.role == role and found.disabled_at is None else None


def sign_in(connection: Connection, name: str, password: str) -> str | None:
    """The id of the person with this name and password; None if there is none."""
    row = accounts.named(connection, normal_name(name))
    row = row if row and row.disabled_at is None else None
    try:
        # A hash is checked in any case: how long it takes does not tell whether the name exists.
        _hasher.verify(row.password_hash if row and row.password_hash else _NOBODY, password)
    except (VerificationError, InvalidHashError):
        return None
    return row.id if row and row.password_hash else None


def issue(connection: Connection, purpose: Purpose, person: str | None = None, role: str = "") -> str:
    """A new secret for a purpose, to be told once: only its hash stays."""
    secret = secrets.token_urlsafe(32)
    accounts.add_token(connection, person, _hash(secret), purpose, role, now() + LIVES_S[purpose])
    return secret


def redeem(connection: Connection, secret: str, purpose: Purpose) -> str | None:
    """Use up a one-time secret; returns its role, or None if it is unknown, used or expired."""
    return accounts.use_up(connection, _hash(secret), purpose)


def valid(connection: Connection, secret: str, purpose: Purpose) -> bool:
    """Whether a one-time secret could still be redeemed."""
    return accounts.is_unused(connection, _hash(secret), purpose)


def whose(connection: Connection, secret: str, purpose: Purpose = "session") -> Person | None:
    """The person whose session or API token this is, while it lasts."""
    row = accounts.holder(connection, _hash(secret), purpose)
    return Person(row.id, row.name, row.role, secret) if row else None


def sign_out(connection: Connection, secret: str) -> None:
    """End a session."""
    accounts.end(connection, _hash(secret))


def _hash(secret: str) -> str:
    # The secret has 256 random bits: a plain hash of it cannot be searched, as one of a password could.
    return hashlib.sha256(secret.encode()).hexdigest()


_NOBODY = _hasher.hash(secrets.token_urlsafe(16))
