"""A store on SQLite and on PostgreSQL, and a few people and tasks in it."""

import glob
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
import uuid
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import create_engine, insert, select, text
from tests.conftest import PATIENCE_S, free_port

from truing.data.records import Conversation, Message, Prompt, Response
from truing.feedback.people import auth
from truing.feedback.store import database, projects
from truing.feedback.store import schema as t
from truing.feedback.store.database import Database
from truing.feedback.store.tasks import Question
from truing.feedback.tasks import questions


def prompt(words):
    return Prompt((Message("user", words),))


def conversation(words, *answers, author="model-one"):
    return Conversation(prompt(words), tuple(Response(answer, author=author) for answer in answers))


@pytest.fixture(scope="session")
def postgres():
    """The address of a PostgreSQL server started for these tests; skips where there is none to start."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin")) or [str(Path(shutil.which("pg_ctl") or "/").parent)]
    bin_folder = Path(found[-1])
    if not (bin_folder / "initdb").is_file():
        pytest.skip("PostgreSQL is not installed here (Debian's package postgresql has it)")
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="truing-pg-"))
    if as_user:
        shutil.chown(folder, "postgres")
    port = free_port()

    def run(*command):
        words = [*as_user, *command]
        return subprocess.run(words, cwd="/", check=False, capture_output=True, text=True, timeout=PATIENCE_S)

    made = run(str(bin_folder / "initdb"), "-D", str(folder / "data"), "-A", "trust", "-U", "truing", "-E", "UTF8")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    log = str(folder / "log")
    if made.returncode == 0:
        made = run(str(bin_folder / "pg_ctl"), "-D", str(folder / "data"), "-o", options, "-l", log, "-w", "start")
    if made.returncode != 0:
        pytest.skip(f"PostgreSQL could not be started: {made.stderr.strip()[-200:]}")
    yield f"postgresql://truing@127.0.0.1:{port}"
    run(str(bin_folder / "pg_ctl"), "-D", str(folder / "data"), "-m", "immediate", "stop")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres"])
def db(request, tmp_path):
    """An empty store, on both databases."""
    if request.param == "sqlite":
        opened = Database.open(str(tmp_path / "feedback.db"))
        yield opened
        opened.close()
        return
    server, name = request.getfixturevalue("postgres"), f"t{uuid.uuid4().hex}"
    admin = create_engine(
        f"{server}/postgres".replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT"
    )
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    opened = Database.open(f"{server}/{name}")
    yield opened
    opened.close()
    admin.dispose()


@pytest.fixture
def sqlite(tmp_path):
    opened = Database.open(str(tmp_path / "feedback.db"))
    yield opened
    opened.close()


@pytest.fixture
def before(db, tmp_path):
    """A store as the first schema's code wrote it, with every kind of judgement, and gold, skipped, taken back,
    reviewed and imported ones; equal answers; two rounds and a snapshot of each."""
    written = tmp_path / "before.db"
    with closing(sqlite3.connect(written)) as connection:
        connection.executescript((Path(__file__).parent / "before.sql").read_text("utf-8"))
    if db.is_sqlite:
        opened = Database.open(str(written))
        yield opened
        opened.close()
        return
    engine = create_engine(f"sqlite:///{written}")
    with engine.connect() as source, db.writing() as target:
        for table in t.metadata.sorted_tables:
            columns = [c for c in table.c if c is not t.audit_log.c.id]  # which the database counts itself
            if rows := [dict(row) for row in source.execute(select(*columns)).mappings()]:
                target.execute(insert(table), rows)
    engine.dispose()
    yield db


@pytest.fixture
def clock(monkeypatch):
    """The store's time, which stands until it is moved."""
    moment = [1_000_000.0]
    standing = SimpleNamespace(time=lambda: moment[0], sleep=time.sleep, monotonic=time.monotonic)
    monkeypatch.setattr(database, "time", standing)

    def move(seconds):
        moment[0] += seconds

    return move


def people(db, *names, role="annotator"):
    with db.writing() as connection:
        return [auth.add_person(connection, name, role) for name in names]


def project_with(db, kind, *conversations, overlap=1):
    """A project with these tasks; returns its id and theirs."""
    with db.writing() as connection:
        project = projects.open_project(connection)
        tasks = [questions.add_conversation(connection, project, one, Question(kind, overlap)) for one in conversations]
    return project, tasks


@pytest.fixture
def make():
    """The helpers above, for test files."""
    return SimpleNamespace(prompt=prompt, conversation=conversation, people=people, project_with=project_with)
