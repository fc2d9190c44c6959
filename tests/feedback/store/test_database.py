"""A store opened: transactions, migrations both ways, what is refused, backup."""

import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from truing.errors import UserError
from truing.feedback.store import database, projects
from truing.feedback.store import schema as t
from truing.feedback.store.database import Database, InTurn, is_store
from truing.feedback.store.schema import metadata
from truing.feedback.tasks import leases


def answered(db, make):
    """A store with one answer in it."""
    project, _ = make.project_with(db, "pair", make.conversation("Hi?", "Yes.", "No."))
    (ann,) = make.people(db, "Ann")
    with db.writing() as connection:
        lease = leases.lease(connection, project, ann)
        leases.submit(connection, lease, ann, {"verdict": "tie"}, "key-00001")
    return project, ann


def test_migrations_build_just_what_the_schema_says(db):
    with db.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_old_and_new_schemas_migrate_both_ways_and_keep_every_row(db, make):
    answered(db, make)

    def rows():
        with db.reading() as connection:
            return {
                name: connection.execute(text(f'SELECT count(*) FROM "{name}"')).scalar() for name in metadata.tables
            }

    before = rows()
    db.migrate_to("0001")
    assert db.revision() == "0001" and rows() == before
    db.migrate_to("head")
    assert db.revision() == "0002" and rows() == before
    assert before["annotation"] == 1 and before["message"] == 2


def test_events_cannot_be_changed_or_deleted_even_by_hand(db, make):
    answered(db, make)
    for statement in ("UPDATE annotation SET payload = '{}'", "DELETE FROM annotation", "DELETE FROM audit_log"):
        with pytest.raises(DBAPIError, match="never changed"), db.writing() as connection:
            connection.execute(text(statement))


def test_a_failed_transaction_leaves_nothing(db):
    with pytest.raises(RuntimeError), db.writing() as connection:
        projects.open_project(connection, "half")
        raise RuntimeError
    with db.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM project")).scalar() == 0


def test_sqlite_settings_are_those_that_lose_nothing(sqlite):
    for durable, synchronous in ((False, 1), (True, 2)):
        with sqlite.writing(durable) as connection:
            for pragma, value in (("journal_mode", "wal"), ("synchronous", synchronous), ("foreign_keys", 1)):
                assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value


def test_eight_writers_at_once_are_never_locked_out(db):
    """The deferred kind of transaction fails here with "database is locked" within a few writes."""
    with db.writing() as connection:
        project = projects.open_project(connection)
    errors = []

    def write(number):
        try:
            for i in range(20):
                with db.writing() as connection:
                    seen = connection.execute(text("SELECT count(*) FROM guideline")).scalar()
                    projects.add_guideline(connection, project, f"{number} {i} after {seen}")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    with db.reading() as connection:
        versions = connection.execute(text("SELECT version FROM guideline ORDER BY version")).scalars().all()
    assert versions == list(range(1, 161))


def test_two_programs_may_open_a_new_store_at_once(tmp_path):
    code = f"from truing.feedback.store.database import Database; Database.open({str(tmp_path / 'new.db')!r})"
    started = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(4)]
    assert [(p.wait(), p.stderr.read()) for p in started] == [(0, b"")] * 4


def test_two_threads_may_open_stores_at_once(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: Database.open(str(tmp_path / f"{i % 2}.db")).close(), range(4)))


def test_other_files_are_refused_and_left_as_they_are(tmp_path):
    (tmp_path / "text.db").write_text("this is no database at all")
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE mine (x)")
    other.commit()
    other.close()
    for name, said in (("text.db", "no SQLite database"), ("other.db", "another program, with tables mine")):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(UserError, match=said):
            Database.open(str(tmp_path / name))
        assert (tmp_path / name).read_bytes() == before
    with pytest.raises(UserError, match="this is a folder"):
        Database.open(str(tmp_path))
    with pytest.raises(UserError, match="there is no such store"):
        Database.open(str(tmp_path / "no.db"), create=False)
    assert not (tmp_path / "no.db").exists()


def test_a_newer_schema_is_refused(sqlite):
    with sqlite.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UserError, match="newer Truing"):
        Database.open(sqlite.name)


def test_a_server_without_answer_is_one_line():
    with pytest.raises(UserError, match="cannot be opened"):
        Database.open("postgresql://nobody@127.0.0.1:9/nothing")


def test_what_cannot_be_written_is_one_line(sqlite, tmp_path):
    (tmp_path / "file").write_text("a file")
    for target in (tmp_path / "file" / "copy.db", Path("/proc/copy.db")):
        with pytest.raises(UserError, match=r"copy\.db: it cannot be written: "):
            sqlite.backup(target)
        with pytest.raises(UserError, match=r"copy\.db: (it|the store) cannot be (written|opened): "):
            Database.open(str(target))
    sqlite.backup(tmp_path / "new" / "copy.db")
    Database.open(str(tmp_path / "new" / "copy.db"), create=False).close()


def test_broken_references_are_counted(sqlite, make, tmp_path):
    answered(sqlite, make)
    assert sqlite.integrity() == ([], 0)
    with sqlite3.connect(tmp_path / "feedback.db") as connection:  # which holds no reference by itself
        connection.execute("DELETE FROM task")
    found, strangers = sqlite.integrity()
    assert not found and strangers == 2  # an assignment and an annotation


def test_backup_is_whole_while_others_write(sqlite, make, tmp_path):
    answered(sqlite, make)
    with sqlite.engine.connect() as reader:
        reader.exec_driver_sql("SELECT count(*) FROM task")
        sqlite.backup(tmp_path / "copy.db")
    copy = Database.open(str(tmp_path / "copy.db"))
    with copy.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM annotation")).scalar() == 1
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    with pytest.raises(UserError, match="a file already"):
        sqlite.backup(tmp_path / "copy.db")


def test_is_store():
    assert is_store("feedback.db") and is_store("postgresql://a@b/c") and not is_store("rows.jsonl")


def test_in_turn_is_given_in_the_order_of_asking():
    lock, order = InTurn(), []

    def take(number):
        with lock:
            order.append(number)

    with lock:
        threads = [threading.Thread(target=take, args=(n,)) for n in range(20)]
        for thread in threads:
            thread.start()
            while len(lock._waiting) <= threads.index(thread):
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert order == list(range(20))
    with lock:
        pass


def test_a_store_of_the_first_schema_opens_with_all_it_held(before):
    with before.reading() as connection:
        held = {name: connection.scalar(text(f'SELECT count(*) FROM "{name}"')) for name in metadata.tables}
    assert held == {
        "annotation": 26, "annotator": 3, "assignment": 24, "audit_log": 8, "candidate": 42, "candidate_set": 20,
        "comparison": 35, "demonstration": 4, "flag": 3, "gold": 1, "guideline": 1, "message": 48, "model_version": 1,
        "project": 1, "prompt": 20, "ranking": 3, "rating": 17, "round": 2, "snapshot": 2, "snapshot_annotation": 32,
        "task": 23, "token": 0,
    }  # fmt: skip


def test_audit_keeps_hashes_and_not_texts(db):
    with db.writing() as connection:
        database.audit(connection, "Ann", "edited", "x", before="secret", after="other")
        row = connection.execute(select(t.audit_log)).one()
    assert row.before_hash == database.digest("secret") and "secret" not in str(row)
