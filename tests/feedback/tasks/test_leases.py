"""Leases, overlap, lateness, undo: on both databases, and by many people at once."""

import threading

import pytest
from sqlalchemy import func, select

from truing.errors import UserError
from truing.feedback.store import content, events
from truing.feedback.store import schema as t
from truing.feedback.store.tasks import Question
from truing.feedback.tasks import leases, questions
from truing.feedback.tasks.leases import Conflict, Unknown

BETTER = {"verdict": "tie"}


def lease(db, project, person, **options):
    with db.writing() as connection:
        return leases.lease(connection, project, person, **options)


def submit(db, identity, person, payload=BETTER, key="key-00001"):
    with db.writing() as connection:
        return leases.submit(connection, identity, person, payload, key)


def rows(db, table):
    with db.reading() as connection:
        return connection.execute(select(table)).all()


def test_a_task_goes_to_as_many_people_as_it_wants_and_to_none_twice(db, make):
    project, _ = make.project_with(db, "pair", make.conversation("?", "A", "B"), overlap=2)
    ann, ben, cat = make.people(db, "Ann", "Ben", "Cat")
    one = lease(db, project, ann)
    assert one and lease(db, project, ben) and lease(db, project, cat) is None
    submit(db, one, ann)
    assert lease(db, project, ann) is None


def test_a_page_loaded_again_gets_the_same_task_in_the_same_order(db, make):
    project, _ = make.project_with(db, "rank", *[make.conversation(f"{i}?", *"ABCDEFG") for i in range(3)])
    (ann,) = make.people(db, "Ann")
    first = lease(db, project, ann)
    with db.reading() as connection:
        order = leases.assignment(connection, first).shown_order
    assert lease(db, project, ann) == first
    with db.reading() as connection:
        assert leases.assignment(connection, first).shown_order == order
    ahead = lease(db, project, ann, held=[first])
    assert ahead not in (first, None)
    assert lease(db, project, ann, held=[first, ahead]) is None  # two at most


def test_orders_are_shuffled(db, make):
    project, _ = make.project_with(db, "pair", *[make.conversation(f"{i}?", "A", "B") for i in range(40)])
    (ann,) = make.people(db, "Ann")
    first_shown = 0
    with db.writing() as connection:
        for i in range(40):
            one = leases.lease(connection, project, ann)
            row = leases.assignment(connection, one)
            first_shown += row.shown_order[0] == content.answers(connection, row.candidate_set_id)[0]
            leases.submit(connection, one, ann, BETTER, f"key-{i:05}")
    assert 8 <= first_shown <= 32  # 20 ± 4 standard deviations


def test_the_rows_of_a_pair(db, make):
    project, (task,) = make.project_with(db, "pair", make.conversation("?", "A", "B"))
    (ann,) = make.people(db, "Ann")
    one = lease(db, project, ann)
    with db.reading() as connection:
        shown = leases.assignment(connection, one).shown_order
    payload = {"verdict": "better", "winner": shown[1], "strength": 2, "flags": {shown[0]: ["false"]}, "reason": "So."}
    annotation, extra = submit(db, one, ann, payload)
    (row,) = rows(db, t.comparison)
    assert (row.winner_id, row.loser_id, row.strength, row.annotation_id) == (shown[1], shown[0], 2, annotation)
    assert not extra and [(f.message_id, f.name) for f in rows(db, t.flag)] == [(shown[0], "false")]
    (said,) = rows(db, t.annotation)
    assert (said.payload, said.task_id, said.number) == (payload, task, 1)


def test_demonstrations_and_edits_become_messages_of_the_person(db, make):
    project, _ = make.project_with(db, "edit", make.conversation("?", "Bad grammer."))
    (ann,) = make.people(db, "Ann")
    one = lease(db, project, ann)
    with db.reading() as connection:
        (shown,) = leases.assignment(connection, one).shown_order
    with pytest.raises(UserError, match="unchanged"):
        submit(db, one, ann, {"message": shown, "text": "Bad grammer."})
    submit(db, one, ann, {"message": shown, "text": "Bad grammar."})
    (made,) = rows(db, t.demonstration)
    (fact,) = rows(db, t.comparison)
    assert (made.before_id, made.origin) == (shown, "edit")
    assert (fact.winner_id, fact.loser_id, fact.origin) == (made.message_id, shown, "edit")
    with db.reading() as connection:
        written = connection.execute(select(t.message).where(t.message.c.id == made.message_id)).one()
    assert (written.content, written.annotator_id) == ("Bad grammar.", ann)


def test_the_same_request_twice_is_one_row_and_another_body_a_conflict(db, make):
    project, _ = make.project_with(db, "pair", make.conversation("?", "A", "B"))
    (ann,) = make.people(db, "Ann")
    one = lease(db, project, ann)
    assert submit(db, one, ann) == submit(db, one, ann)
    assert len(rows(db, t.annotation)) == len(rows(db, t.comparison)) == 1
    with pytest.raises(Conflict, match="another body"):
        submit(db, one, ann, {"verdict": "both_bad"})
    with pytest.raises(Conflict, match="your answer already"):
        submit(db, one, ann, {"verdict": "both_bad"}, key="key-00002")
    assert len(rows(db, t.annotation)) == 1


def test_an_expired_lease_gives_the_place_away_and_a_late_answer_is_extra(db, make, clock):
    project, _ = make.project_with(db, "pair", make.conversation("?", "A", "B"))
    ann, ben = make.people(db, "Ann", "Ben")
    one = lease(db, project, ann, lease_s=60)
    clock(61)
    two = lease(db, project, ben, lease_s=60)
    assert two
    with db.writing() as connection:
        assert not leases.heartbeat(connection, one, ann)
    assert submit(db, two, ben)[1] is False
    assert submit(db, one, ann)[1] is True
    assert len(rows(db, t.comparison)) == 2


def test_a_late_answer_to_a_place_still_free_is_none_too_many(db, make, clock):
    project, _ = make.project_with(db, "pair", make.conversation("?", "A", "B"))
    (ann,) = make.people(db, "Ann")
    one = lease(db, project, ann, lease_s=60)
    clock(61)
    assert submit(db, one, ann)[1] is False


def test_a_heartbeat_keeps_the_place(db, make, clock):
    project, _ = make.project_with(db, "pair", make.conversation("?", "A", "B"))
    ann, ben = make.people(db, "Ann", "Ben")
    one = lease(db, project, ann, lease_s=60)
    for _ in range(3):
        clock(50)
        with db.writing() as connection:
            assert leases.heartbeat(connection, one, ann, 60)
    assert lease(db, project, ben) is None
    clock(61)
    with db.writing() as connection:  # expired, but nobody took it
        assert leases.heartbeat(connection, one, ann, 60)


def test_a_skip_frees_the_place_and_is_not_asked_again(db, make):
    project, _ = make.project_with(db, "pair", make.conversation("?", "A", "B"))
    ann, ben = make.people(db, "Ann", "Ben")
    one = lease(db, project, ann)
    with db.writing() as connection:
        event = leases.skip(connection, one, ann, "unclear", "key-00001")
        assert leases.skip(connection, one, ann, "unclear", "key-00001") == event
    assert lease(db, project, ann) is None
    assert lease(db, project, ben)
    with pytest.raises(Conflict, match="somebody else"), db.writing() as connection:
        leases.undo(connection, ann, "key-00002")


def test_undo_takes_back_an_answer_and_gives_the_task_again(db, make):
    project, _ = make.project_with(db, "pair", make.conversation("?", "A", "B"))
    (ann,) = make.people(db, "Ann")
    one = lease(db, project, ann)
    first, _ = submit(db, one, ann)
    with db.writing() as connection:
        event = leases.undo(connection, ann, "key-00002")
        assert leases.undo(connection, ann, "key-00002").id == event.id  # sent twice
    assert (event.id, event.payload) == (first, BETTER)
    assert lease(db, project, ann) == one
    second, extra = submit(db, one, ann, {"verdict": "both_good"}, key="key-00003")
    assert not extra
    with db.reading() as connection:
        standing = connection.scalars(select(t.annotation.c.id).where(*events.standing())).all()
    assert standing == [second] and len(rows(db, t.annotation)) == 3  # events stay
    with db.writing() as connection:
        leases.undo(connection, ann, "key-00004")
        with pytest.raises(Conflict, match="nothing to undo"):
            leases.undo(connection, ann, "key-00005")


def test_undo_of_a_skip(db, make):
    project, _ = make.project_with(db, "pair", make.conversation("?", "A", "B"))
    (ann,) = make.people(db, "Ann")
    one = lease(db, project, ann)
    with db.writing() as connection:
        leases.skip(connection, one, ann, "other", "key-00001")
        assert leases.undo(connection, ann, "key-00002").kind == events.SKIP
    assert lease(db, project, ann) == one


def test_an_assignment_of_somebody_else_is_unknown(db, make):
    project, _ = make.project_with(db, "pair", make.conversation("?", "A", "B"))
    ann, ben = make.people(db, "Ann", "Ben")
    one = lease(db, project, ann)
    for identity in (one, "nothing"):
        with pytest.raises(Unknown):
            submit(db, identity, ben)


def test_a_review_is_never_of_ones_own_judgement(db, make):
    project, (task,) = make.project_with(db, "pair", make.conversation("?", "A", "B"))
    ann, ben = make.people(db, "Ann", "Ben")
    annotation, _ = submit(db, lease(db, project, ann), ann)
    with db.writing() as connection:
        row = connection.execute(select(t.task).where(t.task.c.id == task)).one()
        question = Question("review", reviews=annotation)
        review = questions.add_task(connection, project, question, row.prompt_id, row.candidate_set_id)
    assert lease(db, project, ann) is None
    one = lease(db, project, ben)
    with db.reading() as connection:
        assert leases.assignment(connection, one).task_id == review
    submit(db, one, ben, {"verdict": "agree"})
    assert len(rows(db, t.comparison)) == 1


def test_sixteen_people_at_once_never_exceed_the_overlap(db, make):
    """All take and judge as fast as they can; each task ends with exactly three labels by three people."""
    tasks = 12
    project, _ = make.project_with(db, "pair", *[make.conversation(f"{i}?", "A", "B") for i in range(tasks)], overlap=3)
    names = make.people(db, *[f"P{i}" for i in range(16)])
    errors, start = [], threading.Barrier(16)

    def work(person):
        try:
            start.wait()
            while one := lease(db, project, person):
                submit(db, one, person, key=f"{person}-{one}")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(person,)) for person in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    with db.reading() as connection:
        c = t.annotation.c
        labels = connection.execute(
            select(c.task_id, func.count(), func.count(c.annotator_id.distinct())).group_by(c.task_id)
        ).all()
        numbers = connection.scalars(select(c.number).order_by(c.number)).all()
    assert [(n, people) for _, n, people in labels] == [(3, 3)] * tasks
    assert numbers == list(range(1, 3 * tasks + 1))


def test_turns_of_a_chat_are_comparisons_of_their_own(db, make):
    project, _ = make.project_with(db, "chat", make.conversation("Hello?"))
    (ann,) = make.people(db, "Ann")
    one = lease(db, project, ann)
    with db.writing() as connection:
        row = leases.assignment(connection, one)
        pair = [content.add_message(connection, row.prompt_id, r) for r in make.conversation("x", "A", "B").responses]
        candidates = content.add_candidates(connection, row.prompt_id, pair)
        payload = {"verdict": "better", "winner": pair[1], "strength": 1, "goes_on": pair[1]}
        leases.turn(connection, leases.assignment(connection, one), candidates, payload, "key-00001")
        with pytest.raises(Conflict):
            leases.turn(connection, leases.assignment(connection, one), candidates, payload, "key-00002")
        leases.submit(connection, one, ann, {"ended": True}, "key-00003")
    (fact,) = rows(db, t.comparison)
    assert (fact.winner_id, fact.loser_id) == (pair[1], pair[0])
