import pytest
from sqlalchemy import select

from truing.errors import UserError
from truing.feedback.judgements import exchange, rounds, snapshot
from truing.feedback.people import auth
from truing.feedback.store import content, projects
from truing.feedback.store import schema as t
from truing.feedback.store.tasks import Question
from truing.feedback.tasks import leases, questions


def shown(parts):
    return ["".join(response.text for response in part.responses) for part in parts]


@pytest.mark.parametrize(
    ("kind", "answers", "tasks"),
    [
        ("pair", "ABCDE", ["AB", "CD"]), ("pair", "A", []), ("rank", "ABC", ["ABC"]), ("rank", "A", []),
        ("rank", "ABCDEFGHIJ", ["ABCDE", "FGHIJ"]), ("rate", "A", ["A"]), ("rate", "", []), ("binary", "AB", ["AB"]),
        ("edit", "AB", ["A", "B"]), ("demo", "AB", [""]), ("chat", "", [""]),
    ],
)  # fmt: skip
def test_answers_go_together_as_the_kind_shows_them(make, kind, answers, tasks):
    assert shown(questions.parts(make.conversation("q", *answers), kind)) == tasks


@pytest.mark.parametrize("count", [10, 19, 73, 82])
def test_more_answers_than_a_task_shows_are_shared_out_evenly(make, count):
    sizes = [len(part.responses) for part in questions.parts(make.conversation("q", *map(str, range(count))), "rank")]
    assert sum(sizes) == count and max(sizes) <= 9 and max(sizes) - min(sizes) <= 1


def test_answers_that_read_as_one_before_are_none(make):
    kept, equal = questions.distinct(make.conversation("q", "A", "B", " A", "B\n", "C"))
    assert (shown([kept]), equal) == (["ABC"], 2)


def test_only_parts_with_other_answers_are_new(sqlite, make):
    first = make.conversation("q", *"ABCD")
    with sqlite.writing() as connection:
        project = projects.open_project(connection)
        prompt = content.add_prompt(connection, project, first.prompt)

        def new(kind, *answers):
            return shown(questions.new_parts(connection, project, prompt, make.conversation("q", *answers), kind))

        assert new("pair", *"ABCD") == ["AB", "CD"]
        for part in questions.parts(first, "pair"):
            questions.add_conversation(connection, project, part, Question("pair"))
        assert new("pair", "D ", "C", "A", "C", "B", "A") == ["AC"]
        assert new("rank", *"ABCD") == ["ABCD"]  # another question
        assert questions.asked(connection, prompt, "pair") == {frozenset("AB"), frozenset("CD")}
        assert questions.asked(connection, prompt, "pair", t.task.c.gold) == set()


def test_a_prompt_without_answers_is_new_in_a_round_that_has_not_asked_it(sqlite, make):
    with sqlite.writing() as connection:
        project = projects.open_project(connection)
        asked = make.conversation("q")
        prompt = content.add_prompt(connection, project, asked.prompt)

        def new():
            return len(questions.new_parts(connection, project, prompt, asked, "demo"))

        for begin in (lambda: None, lambda: rounds.open_round(connection, project)):
            begin()
            assert new() == 1
            questions.add_conversation(connection, project, asked, Question("demo"))
            assert new() == 0
        connection.execute(t.round_.update().values(closed_at=1.0))
        assert new() == 0 and connection.scalar(select(t.round_.c.number)) == 1


def test_a_kind_that_is_none_is_told_with_the_nearest(sqlite):
    with sqlite.writing() as connection, pytest.raises(UserError, match='did you mean "pair"'):
        questions.add_task(connection, "x", Question("pairs"), "y")


def test_a_rating_means_what_it_meant_whatever_scale_is_usual_later(sqlite, make):
    with sqlite.writing() as connection:
        project = projects.open_project(connection, config={"scale": {"low": 0, "high": 10, "words": []}})
        questions.add_conversation(connection, project, make.conversation("q", "A"), Question("rate"))
        (ann,) = [auth.add_person(connection, "Ann")]
        leased = leases.lease(connection, project, ann)
        (answer,) = leases.assignment(connection, leased).shown_order
        leases.submit(connection, leased, ann, {"ratings": {answer: 9}}, "key-00001")
        connection.execute(t.project.update().values(config={"scale": {"low": 1, "high": 7, "words": []}}))
        (rating,) = snapshot.records(connection, snapshot.take(connection, project))
        assert (rating.value, rating.low, rating.high) == (9, 0, 10)
        connection.execute(t.task.update().values(config={}))  # as earlier versions made tasks
        (rating,) = snapshot.records(connection, snapshot.take(connection, project))
        assert (rating.low, rating.high) == (1, 7)
        (event,) = exchange._events(connection, snapshot.take(connection, project))
        assert event["scale"] == {"low": 1, "high": 7}
