import pytest

from truing.data.records import Message, Prompt, Response
from truing.evaluation.judge import by_person, by_reward, outcomes

PROMPT = Prompt((Message("user", "hi"),))
SHORT, LONG = Response("a"), Response("aaa")


def length(prompts, responses):
    return [float(len(r.text)) for r in responses]


def test_by_reward_prefers_the_higher_score():
    judge = by_reward(length)
    assert [judge(PROMPT, LONG, SHORT), judge(PROMPT, SHORT, LONG), judge(PROMPT, SHORT, SHORT)] == [1.0, 0.0, 0.5]


def test_by_person_asks_until_it_is_an_answer_and_never_names_the_author():
    typed, shown = iter(["x", "", "2", "1", "="]), []
    judge = by_person(lambda question: next(typed), shown.append)
    secret = Response("aaa", author="runs/secret")
    assert [judge(PROMPT, SHORT, secret) for _ in range(3)] == [0.0, 1.0, 0.5]
    assert "[1] a" in shown[0] and "[2] aaa" in shown[0] and not any("secret" in line for line in shown)


def judged(judge, count, **settings):
    return [*outcomes(judge, [PROMPT] * count, [LONG] * count, [SHORT] * count, **settings)]


def test_both_orders_of_a_pair_are_judged_where_that_is_asked_for():
    """A judge that always likes what it reads first says nothing: the mean of every two is a tie."""
    told = judged(lambda p, a, b: 1.0, 5, both_orders=True)
    assert told == [(place, outcome) for place in range(5) for outcome in (1.0, 0.0)]


@pytest.mark.parametrize("seed", range(9))
def test_those_to_judge_are_balanced_whatever_the_others_are(seed):
    theirs = [LONG] * 12 + [SHORT] * 4 + [LONG] * 4
    told = [*outcomes(lambda p, a, b: 1.0, [PROMPT] * 20, [LONG] * 20, theirs, seed=seed)]
    assert sorted(outcome for _, outcome in told) == [0.0] * 2 + [0.5] * 16 + [1.0] * 2


@pytest.mark.parametrize("seed", [0, 1])
def test_each_pair_is_judged_once_and_each_side_read_first_as_often_in_random_order(seed):
    places, told = zip(*judged(lambda p, a, b: 1.0, 400, seed=seed), strict=True)
    assert places == tuple(range(400)) and sum(told) == 200
    assert sum(told[:200]) not in (0, 100, 200)  # not turn about
    assert [outcome for _, outcome in judged(by_reward(length), 9, seed=seed)] == [1.0] * 9


def test_nobody_is_asked_about_answers_that_read_the_same():
    def never(prompt, first, second):
        raise AssertionError(first.text)

    same = [Response("a "), Response("b")]
    assert [*outcomes(never, [PROMPT] * 2, same, [Response("a"), Response("b")])] == [(0, 0.5), (1, 0.5)]
