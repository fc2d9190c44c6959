"""Attention by matrix products and by torch's fused kernel, in turn: which is faster from how many tokens on?

python -m benchmarks.attention                          # float32; what the limits in truing.models.attention follow
python -m benchmarks.attention --precision bfloat16

Whole sequences; 64 tokens that continue others; a single token, as in decoding. Times in milliseconds, with the fastest
and the slowest ratio of some turns.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from benchmarks import work
from truing.models import attention

HEADS, WIDTH, TOKENS = 6, 48, 2048
LENGTHS = (64, 96, 128, 256, 512, 1024)
LIMITS = {"products": 10**9, "fused": 0}  # most keys that are read by products


def timed(steps: int, known: int, dtype: torch.dtype, learns: bool, by: str) -> float:
    """Milliseconds of one call, with its backward pass where it `learns`, over 2,048 keys in all."""
    attention.longest_explicit = lambda *_: LIMITS[by]
    rows = max(1, TOKENS // known)
    given = [
        torch.randn(rows, length, HEADS, WIDTH, dtype=dtype, requires_grad=learns).transpose(1, 2)
        for length in (steps, known, known)
    ]
    if steps == 1:
        given = [x.contiguous() for x in given]  # as the cache has them
    mask = None if steps == known else attention.Mask.causal(steps, known, given[0].device)
    if mask is not None:
        mask.bias(dtype)  # made once for all layers
    rule = attention.Rule(WIDTH**-0.5, None, None)
    begin = time.perf_counter()
    with torch.set_grad_enabled(learns):
        output = rule(*given, mask)
    if learns:
        output.backward(torch.ones_like(output))
    return 1e3 * (time.perf_counter() - begin)


def compared(steps: int, known: int, dtype: torch.dtype, learns: bool, turns: int) -> str:
    """Both medians, and their ratio with its spread."""
    told: dict[str, list[float]] = {by: [] for by in LIMITS}
    for _ in range(turns + 1):  # the first one warms up
        for by, times in told.items():
            times.append(timed(steps, known, dtype, learns, by))
    products, fused = (statistics.median(times[1:]) for times in told.values())
    ratios = [a / b for a, b in zip(*(times[1:] for times in told.values()), strict=True)]
    return f"{products:8.2f} {fused:8.2f}   {products / fused:5.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--give-back", action="store_true", help="leave the allocator as it is, unlike the commands")
    wanted = parser.parse_args()
    work.started(wanted)
    dtype = getattr(torch, wanted.precision)
    print(f"{'':38} products    fused   ratio")
    for name, steps in (("whole", None), ("64 that continue", 64), ("a single one", 1)):
        for known in LENGTHS:
            for learns in (False, True) if steps != 1 else (False,):
                if steps != known:
                    told = compared(steps or known, known, dtype, learns, wanted.turns)
                    print(f"{name:17} {known:5} {'learned from' if learns else 'read':13} {told}")


if __name__ == "__main__":
    main()
