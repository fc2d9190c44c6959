"""What numbers a model computes with: float32, or bfloat16 beside float32 master weights, whichever is faster here.

Weights that learn stay in float32: an update is often smaller than the last digit of a bfloat16 number and would be
lost (Micikevicius et al. 2018, arXiv:1710.03740, section 3.1). Only the computing is done in bfloat16.
"""

from __future__ import annotations

import copy
import time
from functools import cache, partial
from typing import Literal

import torch
from torch import Tensor, nn

Precision = Literal["auto", "float32", "bfloat16"]
NARROWEST = 128  # below this width calls cost more than computing does: bfloat16 gains nothing
WORTH = 1.3  # bfloat16 is chosen where it is so many times as fast: below, its rounding buys nothing
GRAINS = ((256, 16), (2048, 64), (2**62, 256))  # up to so many rows: a multiple of that many
PROBE_S = 0.1  # of one width and precision: a small product takes a ten-thousandth of a second
TOKENS = 512  # rows of the matrices that are tried


def dtype_of(wanted: Precision, width: int, device: torch.device) -> torch.dtype:
    """The numbers to compute with; "auto" measures a matrix product of this width, once a process."""
    if wanted == "auto":
        gains = width >= NARROWEST and bfloat16_gain(width, str(device)) >= WORTH
        return torch.bfloat16 if gains else torch.float32
    return torch.bfloat16 if wanted == "bfloat16" else torch.float32


def described(chosen: Precision, width: int, device: torch.device) -> str:
    """A line about what is computed with."""
    if chosen == "float32":
        return "computing in float32"
    gain = bfloat16_gain(width, str(device))
    return f"computing in bfloat16, {gain:.1f} times as fast here; what learns stays float32"


@cache
def bfloat16_gain(width: int, device: str = "cpu") -> float:
    """How many times as fast a layer of this width computes in bfloat16 as in float32; 0 where it cannot."""
    try:
        return product_s(width, torch.float32, device) / product_s(width, torch.bfloat16, device)
    except (RuntimeError, NotImplementedError):
        return 0.0


def product_s(width: int, dtype: torch.dtype, device: str = "cpu", tokens: int = TOKENS, tries: int = 9) -> float:
    """Seconds of one product [tokens, width] x [width, 4 width]: the shortest of some tries, and of as many as PROBE_S
    has room for: what other work takes away from the machine meanwhile must not decide."""
    x = torch.randn(tokens, width, device=device).to(dtype)
    weight = torch.randn(4 * width, width, device=device).to(dtype)
    times: list[float] = []
    while len(times) < tries or sum(times) < PROBE_S:
        begin = time.perf_counter()
        nn.functional.linear(x, weight)
        if device != "cpu":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begin)
    return min(times)


@cache
def best_flops(device: str = "cpu") -> float:
    """Multiplications and additions a second in this machine's best matrix product of 1024 rows and columns."""
    dtypes = (torch.float32, torch.bfloat16) if bfloat16_gain(1024, device) > 1 else (torch.float32,)
    return max(8 * 1024 * 1024**2 / product_s(1024, dtype, device, 1024) for dtype in dtypes)


def spare(rows: int, like: Tensor) -> int:
    """How many rows to add so that matrices like this one come in few sizes.

    On a processor oneDNN prepares a product in bfloat16 anew for every size it has not met lately, which takes longer
    than a thousand rows of a small model do; MKL's products in float32 need no such thing.
    """
    if like.device.type != "cpu" or like.dtype != torch.bfloat16:
        return 0
    return -rows % next(grain for most, grain in GRAINS if rows <= most)


def kept_dtype(computed: torch.dtype, device: torch.device) -> torch.dtype:
    """What keys and values are kept in. A processor reads them with single rows, where bfloat16 takes 2 to 4 times as
    long as float32."""
    return torch.float32 if device.type == "cpu" and computed == torch.bfloat16 else computed


def lower(lm: nn.Module, dtype: torch.dtype) -> None:
    """Weights in another precision, in place. Buffers stay: positions of rotary embeddings need all their digits."""
    for parameter in lm.parameters():
        parameter.data = parameter.data.to(dtype)


class WorkingCopy:
    """A model's copy in low precision to compute with. Its gradients are added up on the model itself, in float32."""

    def __init__(self, master: nn.Module, dtype: torch.dtype) -> None:
        self.lm = copy.deepcopy(master)
        lower(self.lm, dtype)
        pairs = list(zip(self.lm.parameters(), master.parameters(), strict=True))
        learning = [(low, high) for low, high in pairs if high.requires_grad]
        for low, high in learning:
            low.register_post_accumulate_grad_hook(partial(_hand_over, high))
        # A reference that is pulled along moves without learning: then all of it does.
        moving = learning or pairs
        self._low: list[Tensor] = [low for low, _ in moving]
        self._master: list[Tensor] = [high for _, high in moving]

    @torch.no_grad()
    def follow(self) -> None:
        """Take the weights that the model has now."""
        torch._foreach_copy_(self._low, self._master)


def _hand_over(high: Tensor, low: Tensor) -> None:
    assert low.grad is not None
    if high.grad is None:
        high.grad = low.grad.to(high.dtype)
    else:
        high.grad += low.grad
    low.grad = None
