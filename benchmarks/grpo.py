"""One GRPO iteration: 64 prompts of 32 tokens, 4 responses of 64 tokens each, one update on all 256.

python -m benchmarks.grpo                # in turn with TRL, bfloat16 and allocator settings
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from benchmarks import work
from truing.data.chat import Chat
from truing.data.records import Message, Prompt, Response
from truing.generation.local import LocalGenerator
from truing.generation.sampling import Sampling
from truing.models.loading import policy_of
from truing.models.memory import MicroBatches
from truing.models.roles import trainable
from truing.training.optimize import Learning, Optimizer, ready
from truing.training.policy.algorithms import GRPO
from truing.training.policy.collect import Collector
from truing.training.policy.learners import Learners
from truing.training.policy.scoring import ScoreSettings, Scoring
from truing.training.policy.step import Iteration, Plan, step

PROMPTS, PROMPT, ANSWERS, RESPONSE = 64, 32, 4, 64
ROW = replace(GRPO, answers=ANSWERS, epochs=1, minibatches=1, kl_in_loss=0.0)  # TRL's own default has no reference


def letters(prompts: Sequence[Prompt], responses: Sequence[Response]) -> list[float]:
    """A reward that costs no time: letters, modulo 7."""
    return [float(sum(map(len, response.text.split())) % 7) for response in responses]


def iterations(size: str, learning: Learning, count: int) -> list[float]:
    """Seconds of each iteration."""
    chat = Chat(work.tokenizer(size), "plain")
    policy = policy_of(work.language_model(size))
    ready(policy, learning)
    optimizer = Optimizer(trainable(policy), learning, 10**6, policy.follow)
    learners = Learners(policy, policy, None, optimizer, None, MicroBatches(learning.budget_tokens))
    sampling, scoring = Sampling(max_new_tokens=RESPONSE), Scoring(letters, ScoreSettings())
    rng, order, seconds = random.Random(0), torch.Generator().manual_seed(0), []
    for number in range(count):
        prompts = [Prompt((Message("user", work.words(PROMPT, size, rng)),)) for _ in range(PROMPTS)]
        begin = time.perf_counter()
        collector = Collector(LocalGenerator(policy, chat), chat, sampling, scoring, seed=number)
        for _ in step(learners, prompts, collector, ROW, Plan(RESPONSE, order), Iteration()):
            pass
        seconds.append(time.perf_counter() - begin)
    return seconds


def main() -> None:
    """Run it."""
    wanted = work.arguments(__doc__ or "").parse_args()
    work.started(wanted)
    if wanted.once:
        work.told_once(iterations(wanted.size, work.learning(wanted), 3)[1:])
        return
    s = work.SIZES[wanted.size]
    body, head = s.sequence_flops(PROMPT + RESPONSE), RESPONSE * s.head_flops
    read_again = (ANSWERS - 1) * s.sequence_flops(PROMPT)  # a prompt is read once for its responses
    flops = PROMPTS * 4 * (ANSWERS * (body + head) - read_again)

    def peer() -> dict | None:
        return work.peer_turn("trl_sft_rm_grpo_rloo.py", "grpo", wanted.size, *work.tuned(wanted))

    work.compare(wanted, "grpo", peer, lambda told: [told["samples"] / told["samples_s"]], flops)


if __name__ == "__main__":
    main()
