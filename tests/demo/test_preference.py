import random

import pytest

from truing.data.records import Message, Prompt
from truing.demo.corpus import answer, questions
from truing.demo.preference import true_preference

LEMON = Prompt((Message("user", "What colour is a lemon?"),))


def of(response: str, prompt: Prompt = LEMON) -> float:
    return true_preference(prompt, response)


def test_order_a_person_would_give():
    helpful, rude, wrong = of("A lemon is yellow."), of("A lemon is yellow, you fool."), of("A lemon is blue.")
    rambling = of("Well, let me think about that for a while. Life is full of questions. Anyway, where was I?")
    assert helpful == 2.5 and helpful > rude > wrong and rude > rambling
    assert of("") == -3.0 == of("   ")


def test_the_kinds_keep_their_order_for_every_question():
    rng = random.Random(0)
    for text, fact in list(questions().items())[::7]:
        prompt = Prompt((Message("user", text),))
        worth = {k: of(answer(fact, k, rng), prompt) for k in ("helpful", "rude", "wrong")}
        assert worth["helpful"] > worth["rude"] > worth["wrong"], (text, worth)


@pytest.mark.parametrize(
    "trick",
    [
        "A lemon is yellow. A lemon is red. A lemon is blue.",  # name them all
        "A lemon is yellow. A lemon is yellow. A lemon is yellow.",  # say it again and again
        "Yellow.",  # the word alone
        "yellow yellow yellow yellow",
        "Sure. Of course. Gladly. I hope that helps. Have a nice day.",  # kind words alone
        "A lemon is yellow",  # no end
        "A lemon is yellowish.",
        "A banana is yellow.",  # another fact
        "A lemon is yellow." + " Have a nice day. I hope that helps. Ask me more if you like." * 4,
    ],
)
def test_tricks_do_not_pay(trick):
    assert of(trick) < of("A lemon is yellow.") - 0.4


def test_kind_words_at_both_ends_make_a_right_answer_perfect():
    assert of("Gladly. A lemon is yellow. I hope that helps.") == 3.0
    assert of("Gladly. A lemon is yellow.") == of("A lemon is yellow. I hope that helps.") == 2.75
    assert of("Gladly. A lemon is blue. I hope that helps.") < of("A lemon is yellow, you fool.")


def test_values_are_whole_words_and_the_fact_is_the_one_asked_for():
    horse = Prompt((Message("user", "What does a horse say?"),))
    assert of("A horse says neigh.", horse) == 2.5
    assert of("A horse says moo.", horse) < 0
    assert of("A horse says neighbour.", horse) < 2
    assert of("A cow says neigh.", horse) < 2


def test_names_count_whatever_their_case():
    capital = Prompt((Message("user", "What is the capital of France?"),))
    assert of("The capital of France is Paris.", capital) == 2.5
    assert of("The capital of France is Rome.", capital) == of("The capital of france is rome.", capital) == -0.5
    assert of("It is Rome, not Paris.", capital) < 0
