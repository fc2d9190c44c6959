import pytest
from sqlalchemy import update

from truing.feedback.store import accounts
from truing.feedback.store import schema as t


@pytest.fixture
def ann(db):
    with db.writing() as connection:
        return accounts.add_annotator(connection, "Ann", "owner", None, simulated=False)


def test_a_person_is_found_by_name_and_by_id(db, ann):
    with db.reading() as connection:
        assert accounts.named(connection, "Ann").id == ann and accounts.named(connection, "ann") is None
        assert accounts.has_id(connection, ann) and not accounts.has_id(connection, "Ann")


def test_an_owner_without_a_password_guards_nothing(db, ann):
    with db.writing() as connection:
        accounts.add_annotator(connection, "Ben", "annotator", "hash", simulated=False)
        assert not accounts.owner_has_password(connection)
        connection.execute(update(t.annotator).where(t.annotator.c.id == ann).values(password_hash="hash"))
        assert accounts.owner_has_password(connection)


def test_a_one_time_secret_is_used_once_for_its_purpose_and_in_its_time(db, clock):
    with db.writing() as connection:
        accounts.add_token(connection, None, "a" * 64, "setup", "owner", expires_at=1_000_010.0)
        accounts.add_token(connection, None, "b" * 64, "setup", "owner", expires_at=1_000_010.0)
        assert accounts.is_unused(connection, "a" * 64, "setup")
        assert not accounts.is_unused(connection, "a" * 64, "invitation")
        assert accounts.use_up(connection, "a" * 64, "invitation") is None
        assert accounts.use_up(connection, "a" * 64, "setup") == "owner"
        assert accounts.use_up(connection, "a" * 64, "setup") is None
        clock(11)
        assert accounts.use_up(connection, "b" * 64, "setup") is None


def test_a_session_has_a_holder_until_it_ends_or_its_time_is_up_or_they_are_disabled(db, ann, clock):
    with db.writing() as connection:
        for letter in "abc":
            accounts.add_token(connection, ann, letter * 64, "session", "", expires_at=1_000_010.0)
        held = accounts.holder(connection, "a" * 64, "session")
        assert (held.id, held.name, held.role) == (ann, "Ann", "owner")
        assert accounts.holder(connection, "a" * 64, "api") is None
        accounts.end(connection, "a" * 64)
        assert accounts.holder(connection, "a" * 64, "session") is None
        assert accounts.holder(connection, "b" * 64, "session").id == ann
        connection.execute(update(t.annotator).where(t.annotator.c.id == ann).values(disabled_at=1.0))
        assert accounts.holder(connection, "b" * 64, "session") is None
        connection.execute(update(t.annotator).where(t.annotator.c.id == ann).values(disabled_at=None))
        clock(11)
        assert accounts.holder(connection, "c" * 64, "session") is None
