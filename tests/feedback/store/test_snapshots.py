import pytest
from sqlalchemy import select

from truing.data.records import Response
from truing.feedback.store import content, events, projects, snapshots
from truing.feedback.store import schema as t
from truing.feedback.store.content import Author
from truing.feedback.store.events import SKIP
from truing.feedback.tasks import leases


@pytest.fixture
def judged(db, make):
    """A pair that Ann judged, ratings of Ben's in round 1, a skip of Ann's; the ids of the two judgements."""
    project, _ = make.project_with(db, "pair", make.conversation("?", "A", "B"))
    ann, ben = make.people(db, "Ann", "Ben")
    with db.writing() as connection:
        one = leases.lease(connection, project, ann)
        pair, _ = leases.submit(connection, one, ann, {"verdict": "tie"}, "key-00001")
        round_ = projects.add_round(connection, project, 1, [])
    make.project_with(db, "rate", make.conversation("!", "C"), overlap=2)
    with db.writing() as connection:
        one = leases.lease(connection, project, ben)
        (answer,) = leases.assignment(connection, one).shown_order
        rate, _ = leases.submit(connection, one, ben, {"ratings": {answer: 3}}, "key-00002")
        leases.skip(connection, leases.lease(connection, project, ann), ann, "", "key-00003")
        assert events.newest(connection, ann).kind == SKIP
    return project, round_, [pair, rate]


def test_what_stands_is_about_answers_and_of_a_round_and_of_people(db, judged):
    project, _, (pair, rate) = judged
    with db.reading() as connection:
        rows = snapshots.current(connection, project)
        assert [(row.id, row.rated) for row in rows] == [(pair, False), (rate, True)]
        assert [row.id for row in snapshots.current(connection, project, round_=1)] == [rate]
        assert [row.id for row in snapshots.current(connection, project, annotators=["Ann", "Cleo"])] == [pair]
        assert not snapshots.current(connection, project, round_=1, annotators=["Ann"])


def test_a_snapshot_keeps_its_members_and_is_found_by_its_hash(db, judged):
    project, _, ids = judged
    with db.writing() as connection:
        made = snapshots.add_snapshot(connection, project, {"round": 1}, "h" * 64, ids[1:])
        row = snapshots.snapshot(connection, made)
        assert (row.project_id, row.filters, row.hash, row.count) == (project, {"round": 1}, "h" * 64, 1)
        assert snapshots.with_hash(connection, project, "h" * 64) == made
        assert snapshots.with_hash(connection, "another", "h" * 64) is None
        assert snapshots.snapshot(connection, "nothing") is None
        assert [one.id for one in snapshots.hashes(connection, made)] == ids[1:]
        assert list(connection.scalars(snapshots.members(made))) == ids[1:]


@pytest.mark.parametrize("by_ids", [True, False])
def test_judgements_are_read_with_all_that_they_are_about(db, judged, by_ids):
    project, _, ids = judged
    with db.writing() as connection:
        chosen = ids if by_ids else snapshots.members(snapshots.add_snapshot(connection, project, {}, "h", ids))
        rows = snapshots.judgements(connection, chosen, ["pair", "rate"])
        assert [(row.kind, row.number, len(row.shown_order)) for row in rows] == [("pair", None, 2), ("rate", 1, 1)]
        assert [row.kind for row in snapshots.judgements(connection, chosen, ["rate"])] == ["rate"]
        assert sorted(text for text, _ in snapshots.texts(connection, chosen).values()) == ["A", "B", "C"]


def test_whole_annotations_name_the_guideline_that_was_shown(db, make):
    project, _ = make.project_with(db, "pair", make.conversation("?", "A", "B"))
    (ann,) = make.people(db, "Ann")
    with db.writing() as connection:
        projects.add_guideline(connection, project, "Be kind.")
        one = leases.lease(connection, project, ann)
        projects.add_guideline(connection, project, "Be right.")
        judged, _ = leases.submit(connection, one, ann, {"verdict": "tie"}, "key-00001")
        frozen = snapshots.add_snapshot(connection, project, {}, "h", [judged])
        (row,) = snapshots.whole_annotations(connection, frozen)
        assert (row.guideline, row.payload["verdict"], row.annotator_id) == (1, "tie", ann)


def test_answers_of_turns_are_those_of_the_conversations_that_have_such_events(db, make):
    project, _ = make.project_with(db, "chat", make.conversation("Hello?"))
    make.project_with(db, "pair", make.conversation("?", "A", "B"))
    (ann,) = make.people(db, "Ann")
    with db.writing() as connection:
        row = leases.assignment(connection, leases.lease(connection, project, ann))
        author = Author(person=ann, role="user")
        spoken = content.add_message(connection, row.prompt_id, Response("Hi."), author=author)
        said = [content.add_message(connection, row.prompt_id, Response(one), spoken) for one in ("Yes?", "No.")]
        candidates = content.add_candidates(connection, row.prompt_id, said, spoken)
        payload = {"verdict": "better", "winner": said[1], "strength": 1, "goes_on": said[1]}
        leases.turn(connection, row, candidates, payload, "key-00001")
        ids = list(connection.scalars(select(t.annotation.c.id)))
        assert snapshots.answers_of_turns(connection, ids, "turn") == {candidates: said}
        assert snapshots.answers_of_turns(connection, ids, "pair") == {}
