import pytest
from sqlalchemy import select

from truing.feedback.judgements import rounds
from truing.feedback.store import content
from truing.feedback.store import schema as t
from truing.feedback.tasks import questions


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
        project = content.open_project(connection)
        prompt = content.add_prompt(connection, project, first.prompt)

        def new(kind, *answers):
            return shown(questions.new_parts(connection, project, prompt, make.conversation("q", *answers), kind))

        assert new("pair", *"ABCD") == ["AB", "CD"]
        for part in questions.parts(first, "pair"):
            content.add_conversation(connection, project, part, "pair")
        assert new("pair", "D ", "C", "A", "C", "B", "A") == ["AC"]
        assert new("rank", *"ABCD") == ["ABCD"]  # another question
        assert questions.asked(connection, prompt, "pair") == {frozenset("AB"), frozenset("CD")}
        assert questions.asked(connection, prompt, "pair", t.task.c.gold) == set()


def test_a_prompt_without_answers_is_new_in_a_round_that_has_not_asked_it(sqlite, make):
    with sqlite.writing() as connection:
        project = content.open_project(connection)
        asked = make.conversation("q")
        prompt = content.add_prompt(connection, project, asked.prompt)

        def new():
            return len(questions.new_parts(connection, project, prompt, asked, "demo"))

        for begin in (lambda: None, lambda: rounds.open_round(connection, project)):
            begin()
            assert new() == 1
            content.add_conversation(connection, project, asked, "demo")
            assert new() == 0
        connection.execute(t.round_.update().values(closed_at=1.0))
        assert new() == 0 and connection.scalar(select(t.round_.c.number)) == 1
