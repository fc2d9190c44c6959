import pytest
from sqlalchemy import select

from truing.feedback.store import schema as t
from truing.feedback.store import snapshots, statistics
from truing.feedback.tasks import leases


@pytest.fixture
def judged(db, make):
    """Of two pairs Ann judged one and took it back, Ben both; a rating by Ann, half a minute later; then a skip."""
    project, _ = make.project_with(db, "pair", make.conversation("?", "A", "BB"), make.conversation("!", "C", "D"))
    ann, ben = make.people(db, "Ann", "Ben")

    def judge(person, key, payload):
        with db.writing() as connection:
            one = leases.lease(connection, project, person)
            answer = leases.assignment(connection, one).shown_order[0]
            return leases.submit(connection, one, person, payload(answer), key)[0]

    with db.writing() as connection:
        connection.execute(t.task.update().values(overlap=2))
    judge(ann, "key-00001", lambda answer: {"verdict": "tie"})
    with db.writing() as connection:
        leases.undo(connection, ann, "key-00002")
        leases.skip(connection, leases.lease(connection, project, ann), ann, "", "key-00003")
    pairs = [judge(ben, f"key-1000{i}", lambda answer: {"verdict": "tie"}) for i in range(2)]
    return project, ann, ben, pairs


def test_what_follows_from_judgements_is_read_of_what_stands_or_of_a_snapshot(db, make, judged):
    project, _, ben, pairs = judged
    with db.writing() as connection:
        rows = statistics.comparisons(connection, project, ["pair"])
        assert [(row.annotation_id, row.annotator_id, row.kind) for row in rows] == [
            (one, ben, "pair") for one in pairs
        ]
        assert not statistics.comparisons(connection, project, ["rank"])
        assert not statistics.ratings(connection, project, ["pair"])
        frozen = snapshots.add_snapshot(connection, project, {}, "h", pairs[1:])
        (row,) = statistics.comparisons(connection, project, ["pair"], frozen)
        assert row.annotation_id == pairs[1]
        connection.execute(t.task.update().values(gold=True))
        assert not statistics.comparisons(connection, project, ["pair"])


def test_counts_are_of_what_stands(db, judged):
    project, *_ = judged
    with db.reading() as connection:
        assert statistics.tasks_and_places(connection, project) == (2, 4)
        assert statistics.count_judgements(connection, project, ()) == 2
        assert statistics.count_judgements(connection, project, ("pair",)) == 0
        last = connection.scalar(select(t.annotation.c.created_at).order_by(t.annotation.c.number.desc()).limit(1))
        assert statistics.count_judgements(connection, project, (), since=last) == 1
        assert statistics.count_skips(connection, project) == 1
        assert statistics.tasks_and_places(connection, "another") == (0, 0)


def test_events_of_each_person_have_their_names(db, judged):
    project, *_ = judged
    with db.reading() as connection:
        told = sorted((row.name, row.kind) for row in statistics.by_person(connection, project))
        assert told == [("Ann", "skip"), ("Ben", "pair"), ("Ben", "pair")]


def test_messages_have_a_length_and_an_author(db, judged):
    project, *_ = judged
    with db.reading() as connection:
        assert sorted(row.length for row in statistics.lengths(connection, project)) == [1, 1, 1, 2]
        names = statistics.model_names(connection)
        assert {names[one] for one in statistics.authors(connection, project).values()} == {"model-one"}
        assert statistics.authors(connection, "another") == {}
