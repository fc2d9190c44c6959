"""One PPO iteration: 64 prompts of 32 tokens, 64 new tokens each, 4 epochs of 4 minibatches, separate critic.

python -m benchmarks.ppo                                  # size S, in turn with TRL where it is to be had
python -m benchmarks.ppo --size XS --turns 5
python -m benchmarks.ppo --precision float32              # float32 on both sides
python -m benchmarks.ppo --critic trunk                   # the critic on the policy's trunk
python -m benchmarks.ppo --ends 0.0108                    # half of the responses end early
python -m benchmarks.ppo --out-of-the-box                 # TRL without its allocator settings
python -m benchmarks.ppo --size XS --growth               # seconds a token and memory, from 64 to 1,024 responses

Sampling, reference, reward, values, advantages, 16 updates of two networks with AdamW, all diagnostics on.
"""

from __future__ import annotations

import argparse
import copy
import math
import random
import statistics
import time

import torch
from torch import nn

from benchmarks import work
from truing.data.chat import Chat
from truing.data.records import Message, Prompt
from truing.generation.local import LocalGenerator
from truing.generation.sampling import Sampling
from truing.models.loading import policy_of
from truing.models.memory import MicroBatches
from truing.models.roles import trainable
from truing.rewards.model import model_reward
from truing.training.optimize import Learning, Optimizer, ready
from truing.training.policy.algorithms import PPO
from truing.training.policy.collect import Collector
from truing.training.policy.learners import Learners
from truing.training.policy.scoring import ScoreSettings, Scoring
from truing.training.policy.step import Iteration, Plan, step

PROMPTS, PROMPT, RESPONSE = 64, 32, 64
GROWTH = (64, 256, 1024)  # responses of an iteration


def iterations(
    size: str, learning: Learning, critic: str, ends: float, count: int, asked: int
) -> list[dict[str, float]]:  # fmt: skip
    """The figures of `count` iterations of `asked` prompts, with `seconds`."""
    chat = Chat(work.tokenizer(size), "plain")
    policy = policy_of(ending(work.language_model(size, 0), ends), trunk_value=critic == "trunk")
    reference = copy.deepcopy(policy).requires_grad_(False)
    critic_net, reward_net = (work.scorer(size, seed) for seed in (1, 2))
    for role, moves in ((policy, True), (reference, False), (critic_net, True), (reward_net, False)):
        ready(role.requires_grad_(moves), learning, moves)
    separate = critic_net if critic == "separate" else None
    optimizers = (
        Optimizer(trainable(net), learning, 10**6, net.follow) if net is not None else None
        for net in (policy, separate)
    )
    learners = Learners(policy, reference, separate, *optimizers, MicroBatches(learning.budget_tokens))
    rng, order = random.Random(0), torch.Generator().manual_seed(0)
    scoring = Scoring(model_reward(reward_net, chat, chat), ScoreSettings())
    sampling = Sampling(max_new_tokens=RESPONSE)
    told = []
    for number in range(count):
        prompts = [Prompt((Message("user", work.words(PROMPT, size, rng)),)) for _ in range(asked)]
        begin = time.perf_counter()
        collector = Collector(LocalGenerator(policy, chat), chat, sampling, scoring, seed=number)
        plan, iteration = Plan(RESPONSE, order, check=number == 0), Iteration()
        for _ in step(learners, prompts, collector, PPO, plan, iteration):
            pass
        told.append({**iteration.metrics, "seconds": time.perf_counter() - begin})
    return told


def ending(lm: nn.Module, ends: float) -> nn.Module:
    """With a probability of ending at each token, by a bias of the vocabulary head, which does not learn."""
    if ends:
        vocabulary, width = lm.lm_head.weight.shape
        head = nn.Linear(width, vocabulary)
        head.weight = lm.model.embed_tokens.weight
        head.bias.data.zero_()
        head.bias.data[2] = math.log(ends / (1 - ends) * vocabulary)
        head.bias.requires_grad_(False)
        lm.lm_head = head
    return lm


def useful_flops(size: str, critic: str, ends: float) -> float:
    """What the work needs: the vocabulary's matrix at response tokens only, nothing twice."""
    s, said = work.SIZES[size], RESPONSE if ends == 0 else (1 - (1 - ends) ** RESPONSE) / ends  # in the mean
    body, head = PROMPTS * s.sequence_flops(PROMPT + round(said)), PROMPTS * said * s.head_flops
    separate = critic == "separate"
    passes = PPO.epochs * 3 * (body * (2 if separate else 1) + head)
    return passes + (body + head) * 2 + body * (2 if separate else 1)


def useful_generation_flops(size: str, prompt_lengths: list[int], said: int) -> float:
    """What sampling so many tokens after these prompts needs."""
    s, mean = work.SIZES[size], said / len(prompt_lengths)
    return sum(s.sequence_flops(round(n + mean)) for n in prompt_lengths) + said * s.head_flops


def growth(turns: int) -> None:
    """Print what a token costs as the iteration grows; the sizes in turn."""
    told: dict[int, list[dict]] = {asked: [] for asked in GROWTH}
    for _ in range(turns):
        for asked in GROWTH:
            told[asked].append(work.own_turn("--prompts", str(asked)))
    for asked, turns_of in told.items():
        each = [s / (asked * RESPONSE) * 1e3 for turn in turns_of for s in turn["seconds"]]
        peak = max(turn["peak_mb"] for turn in turns_of)
        print(f"{asked:5} responses: {statistics.median(each):.3f} ms a token [{min(each):.3f}, {max(each):.3f}], "
              f"{peak:.0f} MB")  # fmt: skip


def main() -> None:
    """Run it."""
    parser = work.arguments(__doc__ or "")
    parser.add_argument("--critic", choices=("separate", "trunk"), default="separate")
    parser.add_argument("--ends", type=float, default=0.0, help="probability that a response ends at a token")
    parser.add_argument(
        "--iterations", type=int, default=2, help="iterations of a turn; the first one of ours is left out"
    )
    parser.add_argument("--out-of-the-box", action="store_true")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--prompts", type=int, default=PROMPTS, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    work.started(wanted)
    if wanted.once:
        told = iterations(wanted.size, work.learning(wanted), wanted.critic, wanted.ends, wanted.iterations + 1,
                          wanted.prompts)  # fmt: skip
        work.told_once([t["seconds"] for t in told[1:]], figures=told[-1])
        return
    if wanted.growth:
        growth(wanted.turns)
        return
    more = ["--default"] if wanted.out_of_the_box else ["--malloc"]
    more += ["--eos_p", str(wanted.ends)] if wanted.ends else []

    def peer() -> dict | None:
        return work.peer_turn("trl_ppo.py", wanted.size, "fp32", "nogc", "2", "--threads", str(wanted.threads), *more)

    name = f"ppo, critic {wanted.critic}, ends {wanted.ends:g},"
    flops = useful_flops(wanted.size, wanted.critic, wanted.ends)
    work.compare(wanted, name, peer, lambda told: told["iters"], flops)


if __name__ == "__main__":
    main()
