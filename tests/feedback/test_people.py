import numpy as np
import pytest

from truing.feedback.payloads import parse
from truing.feedback.people import cast, judged, plain_worth
from truing.feedback.simulate import Annotator


def task(kind, *texts, **more):
    answers = [{"id": f"id-{i}", "text": text, "html": None} for i, text in enumerate(texts)]
    return {"kind": kind, "messages": [{"role": "user", "text": "?"}], "answers": answers, "criteria": [],
            "scale": {"low": 1, "high": 7}, **more}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "texts"),
    [("pair", "A BB"), ("pair", "A A"), ("rank", "A BB CCC DDDD"), ("rate", "A BB"), ("binary", "A BB"), ("demo", ""),
     ("edit", "A"), ("review", "A BB"), ("chat", "")],
)  # fmt: skip
def test_what_they_say_is_a_valid_judgement_of_each_kind(kind, texts):
    given = task(kind, *texts.split())
    shown = [a["id"] for a in given["answers"]]
    for seed in range(20):
        payload = judged(given, Annotator("P", 0.2, 0.5, 0.1), lambda p, text: len(text), np.random.default_rng(seed))
        parse(kind, payload, shown, (1, 7))


def test_a_faultless_person_chooses_what_is_liked_and_by_how_much():
    rng = np.random.default_rng(0)
    said = judged(task("pair", "a", "a long one"), Annotator("P"), lambda p, text: len(text), rng)
    assert said == {"verdict": "better", "winner": "id-1", "strength": 3}
    assert judged(task("pair", "a", "b"), Annotator("P"), lambda p, text: len(text), rng)["verdict"] == "tie"
    assert judged(task("rank", "b", "aaa", "cc"), Annotator("P"), lambda p, text: len(text), rng)["tiers"] == {
        "id-0": 2, "id-1": 0, "id-2": 1
    }  # fmt: skip


def test_plain_worth_likes_varied_and_ended_answers():
    from truing.data.records import Message, Prompt

    prompt = Prompt((Message("user", "?"),))
    good, cut, dull = "One two three four five.", "One two three four five", "one one one one one."
    assert plain_worth(prompt, good) > plain_worth(prompt, cut) > plain_worth(prompt, "")
    assert plain_worth(prompt, good) > plain_worth(prompt, dull)


def test_the_cast_is_of_different_people_and_the_same_each_time():
    assert cast(8, 1) == cast(8, 1) and len({person.error_rate for person in cast(8)}) > 4
    assert any(person.position_bias for person in cast(8)) and any(person.laziness for person in cast(8))
