"""Rewards that check: a regular expression, or the right answer that a prompt carries in its tags."""

from __future__ import annotations

import re
from collections.abc import Sequence

from truing.data.records import Prompt, Response
from truing.errors import UserError
from truing.rewards.function import Reward

ANSWER = "answer:"


def regex_reward(pattern: str) -> Reward:
    """1 where the pattern is found in the response, else 0."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"reward regex:{pattern}: not a regular expression: {error}") from error

    def score(prompts: Sequence[Prompt], responses: Sequence[Response]) -> list[float]:
        return [float(compiled.search(response.text) is not None) for response in responses]

    return score


def exact_reward(prompts: Sequence[Prompt], responses: Sequence[Response]) -> list[float]:
    """1 where the response, spaces around it aside, is the answer in the prompt's tag `answer:…`, else 0."""
    return [float(said.text.strip() in right_answers(prompt)) for prompt, said in zip(prompts, responses, strict=True)]


def right_answers(prompt: Prompt) -> list[str]:
    """What a prompt says is right. Raises UserError where it does not say."""
    answers = [tag.removeprefix(ANSWER).strip() for tag in prompt.tags if tag.startswith(ANSWER)]
    if not answers:
        raise UserError(f'reward exact: prompt {prompt.id} carries no tag "{ANSWER}…" to compare with')
    return answers
