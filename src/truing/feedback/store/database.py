"""Opening a store: one engine, reading and writing transactions, migrations; new rows."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, Row, Table, create_engine, event, insert, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from truing.errors import UserError
from truing.feedback.store import schema as t

StoredRow = Row[*tuple[Any, ...]]  # what a statement found, its columns by their names
MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_S = 10.0
CHECKPOINT_S = 1.0
_migrating = threading.Lock()  # alembic keeps what it is doing in a global: one thread of a process at a time
SUFFIXES = (".db", ".sqlite", ".sqlite3")
APPLICATION_ID = 0x7452554E  # written into the file's header, so that a database of something else is told apart


def is_store(source: str) -> bool:
    """Whether a data source names a feedback store: a SQLite file, or a PostgreSQL address."""
    return source.startswith(("postgresql:", "postgresql+", "postgres:", "sqlite:")) or source.endswith(SUFFIXES)


def new_id() -> str:
    """A short random identity that tells nothing about what it names."""
    return secrets.token_hex(8)


def now() -> float:
    """Seconds since 1970, UTC."""
    return time.time()


def add(connection: Connection, table: Table, **values: Any) -> str:
    """One new row; returns its id."""
    identity = values.pop("id", None) or new_id()
    values = {"created_at": now(), **values} if "created_at" in table.c else values
    connection.execute(insert(table).values(id=identity, **values))
    return identity


def audit(connection: Connection, who: str, what: str, about: str = "", before: str = "", after: str = "") -> None:
    """Note who did what; texts before and after go in as hashes."""
    hashes = {"before_hash": digest(before) if before else None, "after_hash": digest(after) if after else None}
    connection.execute(insert(t.audit_log).values(at=now(), who=who, what=what, about=about, **hashes))


def digest(text: str) -> str:
    """SHA-256 of a text, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


class InTurn:
    """A lock that is given to whoever has waited longest. `threading.Lock` goes to whoever is quickest, and with many
    who want it the unlucky wait for seconds."""

    def __init__(self) -> None:
        self._guard, self._taken = threading.Lock(), False
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()  # until the one before hands it over

    def __exit__(self, *error: object) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False


class Database:
    """An open store. `reading()` and `writing()` give connections; every writing one is serialised with the others."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine, self.name = engine, name
        self._writer, self._closed = InTurn(), threading.Event()

    @classmethod
    def open(cls, source: str, create: bool = True) -> Database:
        """The store at a path or address, brought to the present schema. `create=False` refuses one that is not there.

        Raises UserError for a file that is no store of ours, one made by a newer Truing, or an address without answer.
        """
        url = _url(source)
        path = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
        if path and not path.exists() and not create:
            raise UserError(f"{source}: there is no such store; truing label or truing feedback import makes one")
        if path:
            _check_file(path)
            _make_folder(path)
        engine = create_engine(url, pool_pre_ping=path is None, connect_args=_arguments(path))
        if path:
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin)
        store = cls(engine, source)
        try:
            store._migrate()
        except DBAPIError as error:
            engine.dispose()
            raise UserError(f"{source}: the store cannot be opened: {str(error.orig).strip()}") from error
        return store

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one moment of the store."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self, durable: bool = True) -> Iterator[Connection]:
        """A connection whose changes all happen, or none. Keep it short: one writes at a time.

        What is not `durable` (a lease) may be forgotten in a power cut, never before what came earlier; it does not
        wait for the disk.
        """
        # Threads of this process wait for each other here, in turn: SQLite's own waiting is sleep and try again, which
        # lets the unlucky wait for seconds.
        with (
            self._writer,
            self.engine.connect().execution_options(truing_writes=True, truing_durable=durable) as connection,
            connection.begin(),
        ):
            if not self.is_sqlite:
                # One row that all writers lock first: what BEGIN IMMEDIATE is to SQLite.
                connection.execute(text("SELECT version_num FROM alembic_version FOR UPDATE"))
            yield connection

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def close(self) -> None:
        self._closed.set()
        self.engine.dispose()

    def checkpoint_aside(self) -> None:
        """For a server: move the log into the file in a thread of its own. Else now and then a judgement would do it on
        the way, and wait for the disk a hundred times as long as the others."""
        if not self.is_sqlite:
            return
        event.listen(self.engine, "connect", lambda c, _: c.execute("PRAGMA wal_autocheckpoint = 0"))
        self.engine.dispose()  # connections made before would still do it
        threading.Thread(target=self._checkpoint, daemon=True).start()

    def _checkpoint(self) -> None:
        while not self._closed.wait(CHECKPOINT_S):
            with self.engine.connect() as connection:
                raw: Any = connection.connection.driver_connection
                raw.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def backup(self, target: Path) -> None:
        """A whole copy of a SQLite store as it is at one moment, while others go on writing."""
        if not self.is_sqlite:
            raise UserError(f"{self.name}: pg_dump makes backups of PostgreSQL; this command copies SQLite stores")
        if target.exists():
            raise UserError(f"{target}: there is a file already; name a new one")
        temporary = target.with_name(f".{target.name}.part")
        _make_folder(target)
        with self.engine.connect() as connection:
            source: Any = connection.connection.driver_connection
            try:
                copy = sqlite3.connect(temporary)
            except sqlite3.OperationalError as error:
                raise UserError(f"{target}: it cannot be written: {error}") from None
            try:
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")
            finally:
                copy.close()
        temporary.replace(target)

    def integrity(self) -> tuple[list[str], int]:
        """What SQLite finds broken in its file, read whole, and how many rows name others that are not there."""
        with self.reading() as connection:
            found = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
            strangers = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        return [line for line in found if line != "ok"], len(strangers)

    def revision(self) -> str | None:
        """The schema's version that the store has now; None before the first."""
        with self.engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def migrate_to(self, revision: str) -> None:
        """Bring the schema to another version, up or down."""
        here, script = self.revision(), ScriptDirectory.from_config(self._alembic())
        order = [r.revision for r in reversed(list(script.walk_revisions()))]
        up = revision == "head" or here is None or (revision in order and order.index(revision) > order.index(here))
        with _migrating:
            (command.upgrade if up else command.downgrade)(self._alembic(), revision)

    def _migrate(self) -> None:
        script = ScriptDirectory.from_config(self._alembic())
        here = self.revision()
        if here == script.get_current_head():
            return
        if here is not None and here not in {r.revision for r in script.walk_revisions()}:
            known = script.get_current_head()
            raise UserError(f"{self.name}: made by a newer Truing (schema {here}, known up to {known}); upgrade Truing")
        with _migrating:
            command.upgrade(self._alembic(), "head")

    def _alembic(self) -> AlembicConfig:
        config = AlembicConfig()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.attributes["engine"] = self.engine
        return config


def _url(source: str) -> Any:
    if not source:
        raise UserError("store is empty: name a file, such as feedback.db, or postgresql://user@host/name")
    if not source.startswith(("postgres", "sqlite:")):
        if "://" in source:
            raise UserError(f"{source}: a store is a SQLite file, or has an address as postgresql://user@host/name")
        return make_url("sqlite://").set(database=source)
    try:
        url = make_url(source)
    except ArgumentError as error:
        raise UserError(f"{source}: this is no address of a store: {error}") from None
    if url.get_backend_name() in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    return url


def _arguments(path: Path | None) -> dict[str, Any]:
    return {"timeout": BUSY_S, "check_same_thread": False} if path else {"connect_timeout": 10}


def _make_folder(path: Path) -> None:
    """The folder of a file to be made. Raises UserError where there can be none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: it cannot be written: {error.strerror}") from None


def _check_file(path: Path) -> None:
    """Refuse a file that is something else before anything is written into it."""
    if path.is_dir():
        raise UserError(f"{path}: this is a folder; a store is one file, such as {path / 'feedback.db'}")
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb") as file:
        head = file.read(72)
    if not head.startswith(b"SQLite format 3\x00"):
        raise UserError(f"{path}: this is no SQLite database")
    if int.from_bytes(head[68:72], "big") not in (APPLICATION_ID, 0):
        raise UserError(f"{path}: a database of another program")
    if int.from_bytes(head[68:72], "big") == 0:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and "alembic_version" not in tables:
            raise UserError(f"{path}: a database of another program, with tables {', '.join(sorted(tables)[:5])}")


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver must not begin transactions by itself: they begin in `_begin`, of the right kind.
    connection.isolation_level = None
    for statement in (
        f"PRAGMA application_id = {APPLICATION_ID}",
        "PRAGMA foreign_keys = ON",
    ):
        connection.execute(statement)
    _use_wal(connection)


def _use_wal(connection: Any) -> None:
    """Readers do not wait for the writer. The switch itself does not wait for others, whatever the timeout says."""
    end = time.monotonic() + BUSY_S
    while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def _begin(connection: Connection) -> None:
    # A deferred transaction that turns into a writing one fails at once with "database is locked"; this kind waits.
    options = connection.get_execution_options()
    writes = options.get("truing_writes", False)
    if writes:
        # FULL: an acknowledged label survives a power cut.
        connection.exec_driver_sql(
            f"PRAGMA synchronous = {'FULL' if options.get('truing_durable', True) else 'NORMAL'}"
        )
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
