"""Who says which of two answers is better: a reward, or a person at the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from truing.data.records import Prompt, Response
from truing.rewards.function import Reward

Judge = Callable[[Prompt, Response, Response], float]
"""1 where the first answer is better, 0 where the second is, 0.5 for a tie; between them for one less sure."""


def by_reward(reward: Reward) -> Judge:
    """The answer with the higher score is better."""

    def judge(prompt: Prompt, first: Response, second: Response) -> float:
        a, b = reward([prompt, prompt], [first, second])
        return (float(np.sign(a - b)) + 1) / 2

    return judge


def by_person(ask: Callable[[str], str] = input, say: Callable[[str], None] = print) -> Judge:
    """A person reads both, unnamed, and answers 1, 2 or = (a tie)."""

    def judge(prompt: Prompt, first: Response, second: Response) -> float:
        turns = "\n".join(f"{m.role}: {m.content}" for m in prompt.messages)
        say(f"\n{'─' * 60}\n{turns}\n\n[1] {first.text}\n\n[2] {second.text}\n")
        answers = {"1": 1.0, "2": 0.0, "=": 0.5}
        while (typed := ask("better: 1, 2, or = for a tie? ").strip()) not in answers:
            say("type 1, 2 or =")
        return answers[typed]

    return judge


def outcomes(
    judge: Judge,
    prompts: Sequence[Prompt],
    ours: Sequence[Response],
    theirs: Sequence[Response],
    both_orders: bool = False,
    seed: int = 0,
) -> Iterator[tuple[int, float]]:
    """The place of a prompt, and how far ours is the better answer to it, in [0, 1]: each judgement before the next
    pair is shown, so that what a person said can be kept, whatever comes after.

    A judge may lean towards what it reads first: each of the two is read first as often, in random order, or both
    orders are judged, and their mean counts (Zheng et al. 2023, arXiv:2306.05685). Answers that read the same are a
    tie that nobody is asked about.
    """
    equal_P = [our.text.strip() == their.text.strip() for our, their in zip(ours, theirs, strict=True)]
    differing = len(prompts) - sum(equal_P)
    ours_first = iter(np.random.default_rng(seed).permutation(np.arange(differing) % 2 == 0).tolist())
    for place, (prompt, our, their) in enumerate(zip(prompts, ours, theirs, strict=True)):
        if equal_P[place]:
            yield place, 0.5
        elif both_orders:
            yield place, judge(prompt, our, their)
            yield place, 1 - judge(prompt, their, our)
        else:
            yield place, judge(prompt, our, their) if next(ours_first) else 1 - judge(prompt, their, our)
