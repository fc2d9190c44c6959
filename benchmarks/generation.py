"""Sampling from a language model: 64 prompts of 32 tokens with 64 new ones each, or 256 prompts of mixed lengths.

python -m benchmarks.generation                  # against transformers' generate in the better precision
python -m benchmarks.generation --mixed          # 256 prompts of 8 to 256 tokens, responses that end at random
python -m benchmarks.generation --mixed --size XS

The peer runs in the same way: large blocks of memory kept, no top-k; in batches of 64 where there are more prompts.
"""

from __future__ import annotations

import random
import time

import torch

from benchmarks import work
from benchmarks.ppo import ending, useful_generation_flops
from truing.generation.local import Engine
from truing.generation.sampling import Sampling
from truing.models.loading import policy_of
from truing.training.optimize import Learning, ready

MOST_NEW = {False: 64, True: 128}
ENDS = {False: 0.0, True: 1 / 64}  # of the mixed responses half are shorter than 45 tokens


def prompts(size: str, mixed: bool) -> list[list[int]]:
    """Token ids of the prompts."""
    rng = random.Random(0)
    lengths = [rng.randrange(8, 257) for _ in range(256)] if mixed else [32] * 64
    return [[rng.randrange(4, work.SIZES[size].vocabulary) for _ in range(n)] for n in lengths]


def ours(size: str, mixed: bool, precision: str, turns: int) -> tuple[list[float], int]:
    """Seconds of each turn, and the tokens said in the last one."""
    policy = policy_of(ending(work.language_model(size), ENDS[mixed])).requires_grad_(False)
    ready(policy, Learning(precision=precision), moves=False)  # type: ignore[arg-type]
    seconds, said = [], 0
    for turn in range(turns + 1):
        begin = time.perf_counter()
        engine = Engine(policy, Sampling(max_new_tokens=MOST_NEW[mixed]), [2])
        flights = [engine.add(ids, turn * 1000 + i) for i, ids in enumerate(prompts(size, mixed))]
        engine.run()
        seconds.append(time.perf_counter() - begin)
        said = sum(len(flight.token_ids) for flight in flights)
    return seconds[1:], said


@torch.inference_mode()
def theirs(size: str, mixed: bool, dtype: torch.dtype, turns: int) -> tuple[list[float], int]:
    """The same by transformers' `generate`."""
    lm = ending(work.language_model(size), ENDS[mixed]).to(dtype).eval()
    asked, seconds, said = prompts(size, mixed), [], 0
    for turn in range(turns + 1):
        torch.manual_seed(turn)
        begin, said = time.perf_counter(), 0
        for start in range(0, len(asked), 64):
            rows = asked[start : start + 64]
            longest = max(map(len, rows))
            ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
            out = lm.generate(
                ids, attention_mask=(ids != 0).long(), do_sample=True, top_k=0, max_new_tokens=MOST_NEW[mixed],
                pad_token_id=0, eos_token_id=2,
            )  # fmt: skip
            said += int((out[:, longest:] != 0).sum())
        seconds.append(time.perf_counter() - begin)
    return seconds[1:], said


def main() -> None:
    """Run it."""
    parser = work.arguments(__doc__ or "")
    parser.add_argument("--mixed", action="store_true")
    parser.add_argument("--peer", choices=("float32", "bfloat16"), help="one turn of the peer in this process")
    wanted = parser.parse_args()
    work.started(wanted)
    if wanted.once:
        run = (
            theirs(wanted.size, wanted.mixed, getattr(torch, wanted.peer), 1)
            if wanted.peer
            else ours(wanted.size, wanted.mixed, wanted.precision, 3)
        )
        work.told_once(run[0], tokens=run[1])
        return
    both: dict[str, list[dict]] = {"float32": [], "bfloat16": []}

    def peer() -> dict | None:
        for precision, told in both.items():
            told.append(work.own_turn("--peer", precision))
        better = min(both.values(), key=lambda told: sum(sum(t["seconds"]) / t["tokens"] for t in told))
        return {**better[-1], "rss": better[-1]["peak_mb"]}

    # Responses end at random, so that both sides are told in seconds for the tokens that ours said.
    told = work.own_turn()

    def seconds_of(other: dict) -> list[float]:
        return [s * told["tokens"] / other["tokens"] for s in other["seconds"]]

    lengths = [len(ids) for ids in prompts(wanted.size, wanted.mixed)]
    flops = useful_generation_flops(wanted.size, lengths, told["tokens"])
    name = "generation, mixed," if wanted.mixed else "generation"
    work.compare(wanted, name, peer, seconds_of, flops)
    print(f"{told['tokens']} tokens a turn")


if __name__ == "__main__":
    main()
