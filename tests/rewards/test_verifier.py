import pytest

from truing.data.records import Message, Prompt, Response
from truing.errors import UserError
from truing.rewards.verifier import exact_reward, regex_reward

SUM = Prompt((Message("user", "3 + 4?"),), tags=("answer: 7", "sum"))


def test_regex_finds_or_not():
    assert regex_reward(r"\b7\b")([SUM] * 2, [Response("It is 7."), Response("It is 77.")]) == [1.0, 0.0]
    with pytest.raises(UserError, match="not a regular expression"):
        regex_reward("(")


def test_exact_compares_with_the_prompts_answer():
    assert exact_reward([SUM] * 3, [Response(" 7\n"), Response("7."), Response("8")]) == [1.0, 0.0, 0.0]
    with pytest.raises(UserError, match="carries no tag"):
        exact_reward([Prompt((Message("user", "x"),))], [Response("7")])
