import pytest

from truing.data.records import Message, Prompt, Response
from truing.errors import UserError
from truing.rewards.combine import checked, load_reward, model_sources

PROMPT = Prompt((Message("user", "3 + 4?"),), tags=("answer:7",))


def test_several_rewards_are_a_weighted_sum():
    reward = load_reward(["2*exact", "0.5*regex:7", "regex:x*"])
    assert reward([PROMPT] * 2, [Response("7"), Response("8")]) == [3.5, 1.0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "7", [1.0]])
def test_what_is_not_a_finite_number_stops_the_run(value):
    with pytest.raises(UserError, match=f"reward mine gave .* for prompt {PROMPT.id}"):
        checked(value, "mine", PROMPT)


def test_model_sources_are_those_without_a_colon():
    assert model_sources(["runs/rm", "0.5*runs/other", "exact", "a.py:f", "regex:x", "http://x/"]) == [
        "runs/rm",
        "runs/other",
    ]


def test_at_least_one():
    with pytest.raises(UserError, match="name one at least"):
        load_reward([])
