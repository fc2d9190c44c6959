"""Supervised fine-tuning on texts of 32 to 256 tokens, loss on every token, 32 texts an update.

python -m benchmarks.sft                 # in turn with TRL: packing, bfloat16, allocator settings, after its first step
"""

from __future__ import annotations

import random
import time

import torch

from benchmarks import work
from truing.data.batches import Sequences
from truing.models.loading import policy_of
from truing.training.loop import Learner
from truing.training.optimize import Learning
from truing.training.supervised import step

BATCH, STEPS, SHORTEST, LONGEST = 32, 6, 32, 256


def texts(size: str) -> list[list[int]]:
    """Token ids of all texts of a turn."""
    rng, vocabulary = random.Random(0), work.SIZES[size].vocabulary
    return [[rng.randrange(4, vocabulary) for _ in range(rng.randrange(SHORTEST, LONGEST + 1))]
            for _ in range(BATCH * STEPS)]  # fmt: skip


def updates(size: str, learning: Learning) -> list[float]:
    """Seconds of each update after the first."""
    policy = policy_of(work.language_model(size))
    learner = Learner.of("policy", policy, learning, 10**6)
    rows, seconds = texts(size), []
    for start in range(0, len(rows), BATCH):
        begin = time.perf_counter()
        some = rows[start : start + BATCH]
        step(learner, Sequences.of([r[:1] for r in some], [r[1:] for r in some]))
        seconds.append(time.perf_counter() - begin)
    return seconds[1:]


def main() -> None:
    """Run it. What is compared is the time for as many tokens."""
    wanted = work.arguments(__doc__ or "").parse_args()
    work.started(wanted)
    if wanted.once:
        work.told_once([sum(updates(wanted.size, work.learning(wanted)))])
        return
    rows = texts(wanted.size)[BATCH:]
    tokens = sum(map(len, rows))
    s = work.SIZES[wanted.size]
    flops = 3 * sum(s.sequence_flops(len(row)) + len(row) * s.head_flops for row in rows)

    def peer() -> dict | None:
        return work.peer_turn("trl_sft_rm_grpo_rloo.py", "sft", wanted.size, "--packing", "bfd", *work.tuned(wanted))

    work.compare(wanted, "sft", peer, lambda told: [tokens / told["tok_s_after_first"]], flops)
    print(f"{tokens} tokens in {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
