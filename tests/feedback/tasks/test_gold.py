import pytest

from truing.data.records import Comparison, Rating
from truing.errors import UserError
from truing.feedback.store import content
from truing.feedback.tasks import gold, leases
from truing.feedback.tasks.gold import is_right


def test_is_right():
    assert is_right("pair", {"verdict": "better", "winner": "a", "strength": 1}, {"winners": ["a"]})
    assert not is_right("pair", {"verdict": "tie", "winner": None}, {"winners": ["a"]})
    assert is_right("pair", {"verdict": "tie", "winner": None}, {"verdicts": ["tie"]})
    assert is_right("rank", {"tiers": {"a": 0, "b": 1}}, {"winners": ["a", "c"]})
    assert not is_right("rank", {"tiers": {"a": 0, "b": 0}}, {"winners": ["a"]})
    assert is_right("binary", {"good": {"a": True}}, {"good": {"a": True}})
    assert is_right("rate", {"ratings": {"a": 4}}, {"ratings": {"a": [4, 5]}})
    assert is_right("turn", {"verdict": "tie", "goes_on": "a"}, {"verdicts": ["tie"]})  # of a chat
    with pytest.raises(UserError, match="no right answer"):
        is_right("demo", {"text": "x"}, {})


def test_the_quiz_comes_first_to_everybody_and_its_reason_is_told(sqlite, make):
    project, _ = make.project_with(sqlite, "pair", make.conversation("?", "A", "B"), overlap=9)
    names = make.people(sqlite, "Ann", "Ben")
    with sqlite.writing() as connection:
        known = Comparison(make.prompt("Two and two?"), "Four.", "Five.")
        task = gold.add_record(connection, project, known, "Because it is four.", onboarding=True)
        for person in names:
            one = leases.lease(connection, project, person)
            row = leases.assignment(connection, one)
            assert row.task_id == task
            wrong = next(a for a in row.shown_order if a != _winner(connection, row))
            payload = {"verdict": "better", "winner": wrong, "strength": 3}
            assert gold.explained(connection, row.id, payload) == {"right": False, "explanation": "Because it is four."}
            leases.submit(connection, one, person, payload, f"key-{person}")
            plain = leases.assignment(connection, leases.lease(connection, project, person))
            assert plain.task_id != task and gold.explained(connection, plain.id, payload) is None
        assert gold.results(connection, project) == {person: (0, 1) for person in names}


def _winner(connection, row):
    return content.answers(connection, row.candidate_set_id)[0]


def test_hidden_gold_is_mixed_in_and_not_explained(sqlite, make):
    project, _ = make.project_with(sqlite, "pair", *[make.conversation(f"{i}?", "A", "B") for i in range(30)])
    (ann,) = make.people(sqlite, "Ann")
    with sqlite.writing() as connection:
        for i in range(10):
            rating = Rating(make.prompt(f"gold {i}"), "Good answer", 1, 0, 1)
            gold.add_record(connection, project, rating, "")
        seen = []
        for i in range(30):
            one = leases.lease(connection, project, ann, gold_share=0.5)
            row = leases.assignment(connection, one)
            seen.append(row.gold)
            payload = {"good": {row.shown_order[0]: True}} if row.kind == "binary" else {"verdict": "tie"}
            assert gold.explained(connection, row.id, payload) is None
            leases.submit(connection, one, ann, payload, f"key-{i:05}")
        assert 2 <= sum(seen) <= 10
        assert gold.results(connection, project)[ann] == (sum(seen), sum(seen))
        assert leases.lease(connection, project, ann, gold_share=0.0) is not None
