import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from truing.feedback.store import events, queue
from truing.feedback.store import schema as t
from truing.feedback.store.events import RETRACTION, SKIP, Event


@pytest.fixture
def held(db, make):
    """A task that Ann and Ben hold: their assignments."""
    project, (task,) = make.project_with(db, "pair", make.conversation("?", "A", "B"), overlap=2)
    people = make.people(db, "Ann", "Ben")
    with db.writing() as connection:
        given = [queue.give(connection, task, person, 1.0, []) for person in people]
        return project, [queue.assignment(connection, one) for one in given]


def test_what_stands_is_what_nothing_supersedes_now_or_at_a_moment(db, held, clock):
    _, (ann, _) = held

    def standing(moment=None):
        return list(connection.scalars(select(t.annotation.c.number).where(*events.standing(moment))))

    with db.writing() as connection:
        first = events.record(connection, ann, Event("pair", {}, "key-1", "h"))
        clock(10)
        events.record(connection, ann, Event(RETRACTION, {"of": first}, "key-2", "h", supersedes_id=first))
        clock(10)
        events.record(connection, ann, Event("pair", {}, "key-3", "h"))
        assert standing() == [3]
        assert (standing(1_000_000.0), standing(1_000_010.0), standing(1_000_020.0)) == ([1], [], [3])


def test_an_event_is_superseded_once(db, held):
    _, (ann, _) = held
    with pytest.raises(IntegrityError), db.writing() as connection:
        first = events.record(connection, ann, Event("pair", {}, "key-1", "h"))
        for key in ("key-2", "key-3"):
            events.record(connection, ann, Event(RETRACTION, {}, key, "h", supersedes_id=first))


def test_an_event_is_known_by_its_key_among_those_of_a_person_and_a_project(db, held):
    project, (ann, ben) = held
    with db.writing() as connection:
        made = events.record(connection, ann, Event("pair", {}, "key-1", "hash", extra=True))
        found = events.with_key(connection, ann.annotator_id, "key-1")
        assert (found.id, found.extra, found.body_hash) == (made, True, "hash")
        assert events.with_key(connection, ben.annotator_id, "key-1") is None
        assert events.with_keys(connection, project, ann.annotator_id, ["key-1", "key-2"]) == {"key-1"}
        assert events.with_keys(connection, "another", ann.annotator_id, ["key-1"]) == set()


def test_the_newest_event_and_the_newest_payload_come_first(db, held):
    _, (ann, ben) = held
    with db.writing() as connection:
        assert events.newest(connection, ann.annotator_id) is None
        for number in (1, 2):
            events.record(connection, ann, Event("turn", {"number": number}, f"key-{number}", "h"))
        events.record(connection, ben, Event("turn", {"number": 3}, "key-3", "h"))
        assert events.newest(connection, ann.annotator_id).payload == {"number": 2}
        assert events.payloads(connection, ann.id, "turn") == [{"number": 2}, {"number": 1}]
        assert events.payloads(connection, ann.id, "pair") == []


def test_judgements_of_a_person_are_counted_without_skips_and_what_was_taken_back(db, held, clock):
    project, (ann, ben) = held
    with db.writing() as connection:
        events.record(connection, ann, Event("pair", {}, "key-1", "h"))
        clock(10)
        events.record(connection, ann, Event("pair", {}, "key-2", "h"))
        events.record(connection, ann, Event(SKIP, {}, "key-3", "h"))
        gone = events.record(connection, ann, Event("pair", {}, "key-4", "h"))
        events.record(connection, ann, Event(RETRACTION, {}, "key-5", "h", supersedes_id=gone))
        events.record(connection, ben, Event("pair", {}, "key-6", "h"))
        assert events.count_of_person(connection, project, ann.annotator_id, since=1_000_005.0) == (2, 1)


def test_history_holds_what_was_taken_back_and_about_only_that_of_imports(db, held):
    _, (ann, ben) = held
    with db.writing() as connection:
        for key, row in (("page-1", ann), ("import-1", ben)):
            first = events.record(connection, row, Event("pair", {"key": key}, key, "h"))
            events.record(connection, row, Event(RETRACTION, {}, f"{key}-back", "h", supersedes_id=first))
        events.record(connection, ann, Event("pair", {}, "page-2", "h"))
        history = events.history(connection, ann.prompt_id)
        told = [(row.number, row.kind, row.name, row.superseded is not None) for row in history]
        assert told == [
            (1, "pair", "Ann", True),
            (2, RETRACTION, "Ann", False),
            (3, "pair", "Ben", True),
            (4, RETRACTION, "Ben", False),
            (5, "pair", "Ann", False),
        ]
        about = events.judgements_about(connection, ann.prompt_id, "import-")
        assert {row.idempotency_key for row in about} == {"import-1", "page-2"}
