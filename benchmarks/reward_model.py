"""A reward model from pairs of texts of 32 to 128 tokens each, 32 pairs an update.

python -m benchmarks.reward_model        # in turn with TRL, bfloat16 and allocator settings
"""

from __future__ import annotations

import random
import time

from benchmarks import work
from truing.models.precision import best_flops
from truing.settings import configured
from truing.training.loop import Learner
from truing.training.optimize import Learning
from truing.training.reward_model import Config, Item, step

BATCH, STEPS, SHORTEST, LONGEST = 32, 6, 32, 128


def items(size: str) -> list[Item]:
    """The pairs of a turn."""
    rng, vocabulary = random.Random(0), work.SIZES[size].vocabulary

    def text() -> tuple[int, ...]:
        return tuple(rng.randrange(4, vocabulary) for _ in range(rng.randrange(SHORTEST, LONGEST + 1) - 1))

    return [Item((1,), (text(), text()), (0, 1), str(i)) for i in range(BATCH * STEPS)]


def updates(size: str, learning: Learning) -> list[float]:
    """Seconds of each update; where layers are compiled, after one that is not counted."""
    scorer = work.scorer(size)
    learner = Learner.of("reward_model", scorer, learning, 10**6)
    config, rows, seconds = configured(Config, model="x", data=("y",), learning=learning), items(size), []
    best_flops(str(scorer.device))  # measured once by the first update, which else would count it
    if learning.compile:
        step(learner, rows[:BATCH], config)
    for start in range(0, len(rows), BATCH):
        begin = time.perf_counter()
        step(learner, rows[start : start + BATCH], config)
        seconds.append(time.perf_counter() - begin)
    return seconds


def main() -> None:
    """Run it. What is compared is the time for as many pairs, the first update counted in on both sides."""
    wanted = work.arguments(__doc__ or "").parse_args()
    work.started(wanted)
    if wanted.once:
        work.told_once([sum(updates(wanted.size, work.learning(wanted)))])
        return
    rows, s = items(wanted.size), work.SIZES[wanted.size]
    flops = 3 * sum(s.sequence_flops(len(row.prompt) + len(text)) for row in rows for text in row.responses)

    def peer() -> dict | None:
        return work.peer_turn("trl_sft_rm_grpo_rloo.py", "rm", wanted.size, *work.tuned(wanted))

    work.compare(wanted, "reward model", peer, lambda told: [len(rows) / told["pairs_s"]], flops)


if __name__ == "__main__":
    main()
