"""Which reward is meant: names as typed become one score for each response, several of them a weighted sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from truing.data.chat import Chat
from truing.data.lengths import short_enough
from truing.data.records import Prompt, Response
from truing.data.settings import ChatFormat, DataSettings
from truing.errors import UserError
from truing.generation.sampling import Sampling
from truing.models.loading import load_chat, load_context
from truing.rewards.function import Reward, function_reward, load_function
from truing.rewards.http import http_reward
from truing.rewards.model import USUAL, ScorerSetup, load_model_reward
from truing.rewards.verifier import exact_reward, regex_reward, right_answers

LARGEST = 3.4e38  # float32 holds no more
Refuse = Callable[[str], None]
"""What happens where a score is no number; the line names source and prompt. If it returns, the score is NaN."""


def stop(line: str) -> None:
    """The run ends there: a score that is none would poison every mean it enters."""
    raise UserError(line)


def load_reward(
    names: Sequence[str],
    speaker: Chat | None = None,
    chat_format: ChatFormat = "auto",
    refuse: Refuse = stop,
    setup: ScorerSetup = USUAL,
) -> Reward:
    """Each name is `[WEIGHT*]SOURCE`; a source is

    a reward model (run, folder or hub id), `file.py:function` or `module:function`, `regex:PATTERN`, `exact`,
    or the address of a server (`http://…`). `setup` is for reward models.
    """
    if not names:
        raise UserError(
            "reward: name one at least: a reward model's run, file.py:function, regex:…, exact, or http://…"
        )
    return weighted_sum(
        [(weight, source, _load(source, speaker, chat_format, setup)) for weight, source in map(_weight, names)], refuse
    )


def weighted_sum(sources: Sequence[tuple[float, str, Reward]], refuse: Refuse = stop) -> Reward:
    """Rewards by weight, name and function as one. A response that one of them cannot score has no score (NaN)."""

    def score(prompts: Sequence[Prompt], responses: Sequence[Response]) -> list[float]:
        sums = [0.0] * len(responses)
        for weight, source, reward in sources:
            values = reward(prompts, responses)
            if len(values) != len(responses):
                raise UserError(f"reward {source} gave {len(values)} scores for {len(responses)} responses")
            for i, value in enumerate(values):
                sums[i] += checked(value, source, prompts[i], refuse, weight)
        return sums

    return score


def model_sources(names: Sequence[str]) -> list[str]:
    """Those of the names that mean a reward model."""
    sources = [source for _, source in map(_weight, names)]
    return [source for source in sources if source != "exact" and ":" not in source]


def readable(
    prompts: Sequence[Prompt],
    names: Sequence[str],
    context: float,
    inputs: DataSettings,
    sampling: Sampling,
    say: Callable[[str], None],
) -> list[Prompt]:
    """The prompts whose longest answer every reward model among `names` has room for; the others are told.

    `context` is the policy's, which bounds prompt and answer together. A reward model with a tokenizer of its own may
    need more tokens for an answer than the policy did, which no one can know before. Raises UserError where a prompt
    does not say what `exact` asks for.
    """
    kept = list(prompts)
    if any(source == "exact" for _, source in map(_weight, names)):
        for prompt in kept:
            right_answers(prompt)
    end = int(bool(sampling.stop or sampling.stop_tokens))  # is added to an answer that stops otherwise
    for model in model_sources(names):
        most, chat = load_context(model), load_chat(model, inputs.chat_format)
        lengths = [len(chat.prompt_ids(p.messages)) + sampling.max_new_tokens for p in kept]
        what = f"prompts leave no room for max_new_tokens in the context of reward {model}, {most} tokens"
        fit = short_enough(kept, [int(min(n, context)) + end for n in lengths], most, what, say, inputs.strict)
        kept = [kept[i] for i in fit]
    return kept


def checked(value: object, source: str, prompt: Prompt, refuse: Refuse = stop, weight: float = 1.0) -> float:
    """The score as a number, times its weight; anything else goes to `refuse`, and where that returns it is NaN."""
    if (
        isinstance(value, int | float | np.integer | np.floating)
        and -LARGEST <= value <= LARGEST
        and abs(weight * float(value)) <= LARGEST
    ):
        return weight * float(value)
    refuse(f"reward {source} gave {value!r:.80} for prompt {prompt.id} ({prompt.text[:40]!r}): not a finite number")
    return float("nan")


def _weight(name: str) -> tuple[float, str]:
    head, star, source = name.partition("*")
    if star:
        try:
            return float(head), source
        except ValueError:
            pass  # a star inside a pattern or a path
    return 1.0, name


def _load(source: str, speaker: Chat | None, chat_format: ChatFormat, setup: ScorerSetup) -> Reward:
    if source.startswith(("http://", "https://")):
        return http_reward(source)
    if source.startswith("regex:"):
        return regex_reward(source.removeprefix("regex:"))
    if source == "exact":
        return exact_reward
    if ":" in source:
        return function_reward(load_function(source))
    return load_model_reward(source, speaker, chat_format, setup)
