import pytest
from sqlalchemy import select

from truing.errors import UserError
from truing.feedback.people import auth
from truing.feedback.store import schema as t


def test_secrets_are_nowhere_in_the_store(sqlite):
    with sqlite.writing() as connection:
        person = auth.add_person(connection, "Ann", password="correct horse")
        secret = auth.issue(connection, "session", person)
        stored = str(connection.execute(select(t.token)).all()) + str(connection.execute(select(t.annotator)).all())
    assert secret not in stored and "correct horse" not in stored


def test_sign_in_needs_the_name_and_the_password(sqlite):
    with sqlite.writing() as connection:
        ann = auth.add_person(connection, "Ann Bee", password="correct horse")
        auth.add_person(connection, "Nopass")
    with sqlite.reading() as connection:
        assert auth.sign_in(connection, " Ann  Bee ", "correct horse") == ann
        for name, password in (("Ann Bee", "wrong horse!"), ("Nobody", "correct horse"), ("Nopass", "")):
            assert auth.sign_in(connection, name, password) is None


def test_links_work_once_and_for_their_purpose(sqlite, clock):
    with sqlite.writing() as connection:
        secret = auth.issue(connection, "invitation", role="reviewer")
        assert auth.valid(connection, secret, "invitation")
        assert auth.redeem(connection, secret, "setup") is None
        assert auth.redeem(connection, secret, "invitation") == "reviewer"
        assert auth.redeem(connection, secret, "invitation") is None
        late = auth.issue(connection, "setup", role="owner")
        clock(1e12)
        assert not auth.valid(connection, late, "setup") and auth.redeem(connection, late, "setup") is None


def test_a_session_is_a_person_until_it_ends(sqlite):
    with sqlite.writing() as connection:
        person = auth.add_person(connection, "Ann", "reviewer")
        secret = auth.issue(connection, "session", person)
        found = auth.whose(connection, secret)
        assert (found.id, found.role) == (person, "reviewer")
        assert auth.whose(connection, secret, "api") is None
        assert auth.whose(connection, secret + "x") is None
        auth.sign_out(connection, secret)
        assert auth.whose(connection, secret) is None


def test_roles_hold_those_below():
    person = auth.Person("1", "Ann", "reviewer", "secret")
    assert person.may("annotator") and person.may("reviewer") and not person.may("owner")
    assert person.csrf != auth.Person("1", "Ann", "reviewer", "other").csrf


def test_names_and_passwords_that_will_not_do(sqlite):
    with sqlite.writing() as connection:
        auth.add_person(connection, "Ann")
        for name, password, said in (("Ann", "", "taken"), (" ", "", "1 to 100"), ("Ben", "short", "10 characters")):
            with pytest.raises(UserError, match=said):
                auth.add_person(connection, name, password=password)
        assert auth.person_named(connection, "Ann", "annotator") and not auth.person_named(connection, "Ann", "owner")


def test_a_name_is_found_with_other_spaces_and_in_any_role(sqlite):
    with sqlite.writing() as connection:
        ann = auth.add_person(connection, "Ann  Bee ", "reviewer")
        assert auth.normal_name(" Ann  Bee ") == "Ann Bee"
        assert auth.person_named(connection, " Ann  Bee ", "reviewer") == ann
        assert auth.anybody_named(connection, "Ann Bee ") == ann and auth.anybody_named(connection, "Ann") is None
        assert auth.person_named(connection, "Ann Bee", "annotator") is None
