"""What is asked of one project is answered of it alone, and what is of gold, of reviews or taken back stands apart."""

import pytest
from sqlalchemy import select

from truing.data.records import Response
from truing.feedback.people import auth
from truing.feedback.store import content, events, projects, queue, snapshots, statistics, tasks
from truing.feedback.store import schema as t
from truing.feedback.store.database import add
from truing.feedback.store.events import RETRACTION, SKIP, Event
from truing.feedback.store.tasks import Question


def judged(connection, task, person, kind="pair", payload=None, key=""):
    """The event of a person's judgement of a task."""
    row = queue.assignment(connection, queue.give(connection, task, person, 1.0, []))
    return events.record(connection, row, Event(kind, payload or {}, key or f"key-{task}-{person}", "h"))


def taken_back(connection, event):
    row = queue.assignment(connection, events.event(connection, event).assignment_id)
    events.record(connection, row, Event(RETRACTION, {}, f"back-{event}", "h", supersedes_id=event))


@pytest.fixture
def two(db, make):
    """Two projects, each with a guideline, a round, a prompt; a plain task, a gold one and a review that Ann judged."""
    (ann,) = make.people(db, "Ann")
    made = []
    with db.writing() as connection:
        for number, name in enumerate(("one", "two"), start=1):
            project = projects.open_project(connection, name)
            projects.add_guideline(connection, project, f"of {name}")
            projects.add_round(connection, project, number, [])
            prompt = content.add_prompt(connection, project, make.prompt(f"the same {name}?"))
            content.add_message(connection, prompt, Response(name))
            plain, gold, free = (
                tasks.insert_task(connection, project, Question("pair", gold=is_gold), prompt)
                for is_gold in (False, True, False)
            )
            tasks.add_gold(connection, gold, {}, "", onboarding=False)
            judgement = judged(connection, plain, ann)
            judged(connection, gold, ann)
            review = tasks.insert_task(connection, project, Question("review", reviews=judgement), prompt)
            judged(connection, review, ann, "review", {"of": name})
            made.append((project, name, number, prompt, judgement, free))
    return ann, made


def test_each_project_has_its_own(db, two):
    ann, made = two
    with db.reading() as connection:
        for project, name, number, prompt, judgement, _ in made:
            assert projects.guideline(connection, project).text == f"of {name}"
            assert [row.number for row in projects.rounds(connection, project)] == [number]
            assert projects.open_round(connection, project).number == number
            assert projects.counts(connection, project) == {"prompts": 1, "tasks": 4, "annotations": 3}
            assert events.count_of_person(connection, project, ann, since=0.0) == (3, 3)
            assert [row.id for row in content.prompts_page(connection, project, "", 0, 9)] == [prompt]
            assert len(statistics.by_person(connection, project)) == 3
            assert len(tasks.judged_gold(connection, project)) == 1
            assert [row.payload for row in tasks.given_reviews(connection, project)] == [{"of": name}]
            assert tasks.still_open(connection, project) == 3  # two plain ones and the review
            assert [row.id for row in snapshots.current(connection, project)] == [judgement]
            assert [row.length for row in statistics.lengths(connection, project)] == [3]


def test_unreviewed_are_those_of_a_project_that_stand_and_are_no_gold(db, two):
    ann, made = two
    with db.writing() as connection:
        fresh = [judged(connection, free, ann) for *_, free in made]
        for (project, *_), event in zip(made, fresh, strict=True):
            assert [row.id for row in tasks.unreviewed(connection, project, ["pair"])] == [event]
        taken_back(connection, fresh[0])
        assert not tasks.unreviewed(connection, made[0][0], ["pair"])
        (review,) = connection.scalars(select(t.annotation.c.id).where(t.annotation.c.kind == "review").limit(1))
        taken_back(connection, review)
        assert sum(len(tasks.given_reviews(connection, project)) for project, *_ in made) == 1


def test_leases_are_of_a_project_the_oldest_first(db, make, two):
    _, made = two
    (ben,) = make.people(db, "Ben")
    with db.writing() as connection:
        for project, *_ in made:
            late = queue.take(connection, "plain", project, ben, 50.0, 900.0)
            early = queue.take(connection, "plain", project, ben, 60.0, 900.0)
            queue.change(connection, early, leased_at=40.0)
            assert queue.leased(connection, project, ben, 70.0) == [early, late]


def test_counts_of_what_is_left_and_of_what_is_wanted_are_without_gold(db, two):
    ann, ((project, *_), _) = two
    with db.reading() as connection:
        assert queue.count_left(connection, project, ann) == (3, 3)
        assert statistics.tasks_and_places(connection, project) == (2, 2)
        assert statistics.count_judgements(connection, project, ()) == 1


def test_a_closed_task_is_neither_filled_nor_opened_and_a_full_one_stays_full_at_the_end_of_its_round(db, two):
    ann, ((project, *_, free), _) = two

    def state():
        return connection.scalar(select(t.task.c.state).where(t.task.c.id == free))

    with db.writing() as connection:
        one = queue.give(connection, free, ann, 1.0, [])
        queue.change(connection, one, state="submitted")
        queue.close_if_full(connection, free)
        assert state() == "full"
        projects.end_round(connection, projects.open_round(connection, project).id, None, {})
        assert state() == "full"
        connection.execute(t.task.update().where(t.task.c.id == free).values(state="closed"))
        queue.close_if_full(connection, free)
        queue.reopen(connection, free)
        assert state() == "closed"


def test_history_and_messages_stand_in_their_order(db, make, two):
    _, ((_, _, _, prompt, _, free), _) = two
    with db.writing() as connection:
        for number in (103, 102, 101):  # events in another order than that of their rows
            person = auth.add_person(connection, f"Person {number}")
            row = queue.assignment(connection, queue.give(connection, free, person, 1.0, []))
            whose = {"assignment_id": row.id, "task_id": free, "annotator_id": person}
            event = vars(Event(SKIP, {}, f"skip-{number}", "h")) | {"number": number, "version": 1}
            add(connection, t.annotation, **whose, **event)
        assert [row.number for row in events.history(connection, prompt)][-3:] == [101, 102, 103]
        texts = ["late", "early"]
        for text, moment in zip(texts, (9e9, 8e9), strict=True):
            message = content.add_message(connection, prompt, Response(text))
            connection.execute(t.message.update().where(t.message.c.id == message).values(created_at=moment))
        assert [row.content for row in content.messages_below(connection, prompt)] == ["one", "early", "late"]


def test_what_was_said_on_gold_is_not_among_what_an_import_may_bring_again(db, two):
    _, ((_, _, _, prompt, judgement, _), _) = two
    with db.reading() as connection:
        assert [row.id for row in events.judgements_about(connection, prompt, "import-")] == [judgement]


def test_a_person_who_is_disabled_neither_signs_in_nor_is_found_by_a_role(db):
    with db.writing() as connection:
        ann = auth.add_person(connection, "Ann", "owner", "correct horse")
        assert auth.sign_in(connection, "Ann", "correct horse") == ann == auth.person_named(connection, "Ann")
        connection.execute(t.annotator.update().values(disabled_at=1.0))
        assert auth.sign_in(connection, "Ann", "correct horse") is None
        assert auth.person_named(connection, "Ann") is None and auth.anybody_named(connection, "Ann") == ann
