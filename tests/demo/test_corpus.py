import random
from collections import Counter

from truing.demo import corpus
from truing.demo.corpus import KINDS, MIXTURE, answer, demonstrations, dialogues, facts, prompts, questions


def test_same_seed_same_texts():
    assert dialogues(3, 50) == dialogues(3, 50) != dialogues(4, 50)


def test_no_question_is_in_both_splits_and_all_are_in_one():
    train, test = ({p.text for p in prompts(0, 10**6, split)} for split in ("train", "test"))
    assert not train & test and train | test == set(questions())
    assert 0.1 < len(test) / len(questions()) < 0.2
    assert {d.prompt.text for d in demonstrations(1, 3000)} <= train
    assert len({p.id for p in prompts(0, 10**6, "train")}) == len(train)


def test_every_fact_is_learnable_from_training_questions():
    assert {questions()[p.text] for p in prompts(0, 10**6, "train")} == set(facts())


def test_mixture_is_the_one_asked_for():
    asked = demonstrations(0, 4000)
    rude = sum(any(word in d.response.lower() for word in corpus.INSULT_WORDS) for d in asked)
    assert abs(rude / 4000 - MIXTURE["rude"]) < 0.03
    assert set(demonstrations(0, 200, {"rambling": 1.0})) and sum(MIXTURE.values()) == 1.0


def test_kinds_are_what_they_say():
    rng = random.Random(0)
    for fact in facts():
        right, wrong = fact.statement(fact.value), answer(fact, "wrong", rng)
        assert right in answer(fact, "helpful", rng) and right in answer(fact, "rude", rng)
        assert right + "." not in wrong and right not in answer(fact, "rambling", rng)


def test_some_wrong_answers_say_what_was_not_asked():
    rng = random.Random(0)
    beside = 0
    for fact in facts() * 20:
        wrong = answer(fact, "wrong", rng)
        if not any(fact.statement(value) in wrong for value in fact.values):
            assert any(other.statement(other.value) in wrong for other in facts())
            beside += 1
    assert abs(beside / len(facts() * 20) - corpus.BESIDE) < 0.04


def test_answers_have_many_wordings():
    rng = random.Random(0)
    fact = facts()[0]
    seen = Counter(kind for kind in KINDS for _ in {answer(fact, kind, rng) for _ in range(200)})
    assert all(seen[kind] >= 6 for kind in KINDS)
