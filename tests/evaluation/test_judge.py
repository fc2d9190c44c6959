import numpy as np

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


def test_outcomes_count_both_orders():
    """A judge that always likes what it reads first says nothing: every outcome is a tie."""
    told = np.array([*outcomes(lambda p, a, b: 1.0, [PROMPT] * 5, [LONG] * 5, [SHORT] * 5, both_orders=True, seed=0)])
    assert told.tolist() == [0.5] * 5


def test_outcomes_in_random_order_see_each_side_first_about_half_the_time():
    told = np.array(
        [*outcomes(lambda p, a, b: 1.0, [PROMPT] * 400, [LONG] * 400, [SHORT] * 400, both_orders=False, seed=0)]
    )
    assert set(told.tolist()) == {0.0, 1.0} and 0.42 < told.mean() < 0.58
    fair = np.array([*outcomes(by_reward(length), [PROMPT] * 9, [LONG] * 9, [SHORT] * 9, both_orders=False, seed=0)])
    np.testing.assert_array_equal(fair, 1.0)
