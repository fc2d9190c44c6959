from sqlalchemy import select

from truing.feedback.store import projects, queue, tasks
from truing.feedback.store import schema as t
from truing.feedback.store.tasks import Question

NOW, UNTIL = 100.0, 200.0


def made(connection, *questions, project):
    """Tasks of one prompt, each of a question."""
    prompt = connection.scalar(select(t.prompt.c.id))
    return [tasks.insert_task(connection, project, question, prompt) for question in questions]


def of_task(connection, identity):
    return queue.assignment(connection, identity).task_id if identity else None


def test_the_most_wanted_task_is_taken_first_then_the_oldest(db, make, clock):
    project, (plain,) = make.project_with(db, "pair", make.conversation("?", "A", "B"))
    (ann,) = make.people(db, "Ann")
    with db.writing() as connection:
        clock(1)
        (wanted, late) = made(connection, Question("demo", priority=1.0), Question("demo"), project=project)
        connection.execute(t.task.update().where(t.task.c.id == late).values(created_at=2e6))
        taken = [queue.take(connection, "plain", project, ann, NOW, UNTIL) for _ in range(4)]
        assert [of_task(connection, one) for one in taken] == [wanted, plain, late, None]
        assert queue.leased(connection, project, ann, NOW) == taken[:3]
        assert queue.leased(connection, project, ann, UNTIL) == []


def test_each_sort_of_task_is_taken_and_counted_by_itself(db, make):
    project, (plain,) = make.project_with(db, "pair", make.conversation("?", "A", "B"))
    (ann,) = make.people(db, "Ann")
    with db.writing() as connection:
        quiz, hidden = made(connection, Question("pair", gold=True), Question("pair", gold=True), project=project)
        tasks.add_gold(connection, quiz, {}, "", onboarding=True)
        tasks.add_gold(connection, hidden, {}, "", onboarding=False)
        for sort, task in zip(queue.SORTS, (quiz, hidden, plain), strict=True):
            assert queue.count_free(connection, sort, project, ann, NOW) == 1
            assert of_task(connection, queue.take(connection, sort, project, ann, NOW, UNTIL)) == task
            assert queue.count_free(connection, sort, project, ann, NOW) == 0


def test_a_place_is_free_again_when_its_lease_has_run_out_and_a_full_task_is_closed(db, make):
    project, (task,) = make.project_with(db, "pair", make.conversation("?", "A", "B"))
    ann, ben = make.people(db, "Ann", "Ben")
    with db.writing() as connection:
        first = queue.take(connection, "plain", project, ann, NOW, UNTIL)
        assert queue.take(connection, "plain", project, ben, NOW, UNTIL) is None
        second = queue.take(connection, "plain", project, ben, UNTIL + 1, UNTIL + 100)
        row = queue.assignment(connection, first)
        assert queue.places_left(connection, row, UNTIL + 1) == 0
        assert queue.places_left(connection, row, UNTIL + 100) == 1
        queue.close_if_full(connection, task)
        assert queue.count_left(connection, project, ben) == (1, 1)
        queue.change(connection, second, state="submitted")
        queue.close_if_full(connection, task)
        assert connection.scalar(select(t.task.c.state)) == "full"
        assert queue.count_left(connection, project, ben) == (0, 1)
        queue.reopen(connection, task)
        assert queue.count_left(connection, project, ben) == (0, 1)  # which Ben is done with
        assert queue.count_left(connection, project, ann) == (1, 1)


def test_a_second_lease_of_a_task_is_the_same_assignment_once_more(db, make):
    project, _ = make.project_with(db, "pair", make.conversation("?", "A", "B"))
    (ann,) = make.people(db, "Ann")
    with db.writing() as connection:
        first = queue.take(connection, "plain", project, ann, NOW, UNTIL)
        again = queue.take(connection, "plain", project, ann, UNTIL + 1, UNTIL + 100)
        row = queue.assignment(connection, again)
        assert (again, row.attempt, row.lease_expires) == (first, 2, UNTIL + 100)
        assert queue.assignment(connection, "nothing") is None


def test_tasks_of_another_project_are_none_of_this_one(db, make):
    make.project_with(db, "pair", make.conversation("?", "A", "B"))
    (ann,) = make.people(db, "Ann")
    with db.writing() as connection:
        other = projects.open_project(connection, "other")
        assert queue.take(connection, "plain", other, ann, NOW, UNTIL) is None
        assert queue.count_left(connection, other, ann) == (0, 0)
