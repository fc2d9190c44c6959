"""What numbers a model computes with: float32, or bfloat16 beside float32 master weights, whichever is faster here.

Weights that learn stay in float32: an update is often smaller than the last digit of a bfloat16 number and would be
lost (Micikevicius et al. 2018, arXiv:1710.03740, section 3.1). Only the computing is done in bfloat16.
"""

from __future__ import annotations

import copy
import math
import time
from functools import cache, partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

Precision = Literal["auto", "float32", "bfloat16"]
NARROWEST = 128  # below this width calls cost more than computing does: bfloat16 gains nothing
WORTH = 1.3  # bfloat16 is chosen where it is so many times as fast: below, its rounding buys nothing
GRAINS = ((256, 16), (2048, 64), (2**62, 256))  # up to so many rows: a multiple of that many
PROBE_S = 0.1  # of one width and precision: a small product takes a ten-thousandth of a second
FEW = 3  # tries, after which a hopeless one is given up
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
    full_s, low_s = products_s(width, device)
    return full_s / low_s


def products_s(width: int, device: str = "cpu", tokens: int = TOKENS) -> tuple[float, float]:
    """Seconds of one product in float32 and in bfloat16; the latter infinite where it cannot be done."""
    full_s = product_s(width, torch.float32, device, tokens)
    try:
        return full_s, product_s(width, torch.bfloat16, device, tokens, hopeless_s=2 * full_s)
    except (RuntimeError, NotImplementedError):
        return full_s, math.inf


def product_s(
    width: int,
    dtype: torch.dtype,
    device: str = "cpu",
    tokens: int = TOKENS,
    tries: int = 9,
    hopeless_s: float = math.inf,
) -> float:
    """Seconds of one product [tokens, width] x [width, 4 width]: the shortest of some tries, and of as many as PROBE_S
    has room for: what other work takes away from the machine meanwhile must not decide.

    Where FEW tries all took longer than `hopeless_s` no more follow: a processor that has to imitate bfloat16 needs
    half a second for one that takes a twentieth in float32.
    """
    x = torch.randn(tokens, width, device=device).to(dtype)
    weight = torch.randn(4 * width, width, device=device).to(dtype)
    times: list[float] = []
    while len(times) < tries or sum(times) < PROBE_S:
        begin = time.perf_counter()
        nn.functional.linear(x, weight)
        if device != "cpu":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begin)
        if len(times) == FEW and min(times) > hopeless_s:
            break
    return min(times)


@cache
def best_flops(device: str = "cpu") -> float:
    """Multiplications and additions a second in this machine's best matrix product of 1024 rows and columns."""
    # Narrow matrices tell sooner whether bfloat16 is imitated, which makes wide ones take seconds.
    dtypes = (torch.float32, torch.bfloat16) if bfloat16_gain(256, device) > 0.5 else (torch.float32,)
    return max(8 * 1024 * 1024**2 / product_s(1024, dtype, device, 1024) for dtype in dtypes)


def wants_few_sizes(like: Tensor) -> bool:
    """Whether products of matrices like this one should come in few sizes.

    On a processor oneDNN prepares a product in bfloat16 anew for every size it has not met lately, which takes longer
    than a thousand rows of a small model do; MKL's products in float32 need no such thing.
    """
    return like.device.type == "cpu" and like.dtype == torch.bfloat16


def spare(rows: int, like: Tensor) -> int:
    """How many rows to add to a matrix like this one, so that few sizes come where that is wanted."""
    return -rows % next(grain for most, grain in GRAINS if rows <= most) if wants_few_sizes(like) else 0


@cache
def has_amx() -> bool:
    """Whether this processor multiplies matrices in bfloat16 by tiles (Intel's AMX)."""
    told: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in every torch that is served
    return bool(told.get("amx_bf16", False))


def kept_dtype(computed: torch.dtype, device: torch.device) -> torch.dtype:
    """What keys and values are kept in. A processor without AMX reads them with single rows, where bfloat16 takes 2
    to 4 times as long as float32; with it half as many bytes are read."""
    slow = device.type == "cpu" and computed == torch.bfloat16 and not has_amx()
    return torch.float32 if slow else computed


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
        for module in self.lm.modules():
            if type(module) is nn.Embedding and module.weight.device.type == "cpu":
                module.forward = partial(_Rows.apply, module.weight)  # type: ignore[method-assign]
        # A reference that is pulled along moves without learning: then all of it does.
        moving = learning or pairs
        self._low: list[Tensor] = [low for low, _ in moving]
        self._master: list[Tensor] = [high for _, high in moving]

    @torch.no_grad()
    def follow(self) -> None:
        """Take the weights that the model has now."""
        torch._foreach_copy_(self._low, self._master)


class _Rows(torch.autograd.Function):
    """Rows of an embedding. Its gradient is sparse: of a large vocabulary few are read, and of the others none is made,
    converted and added. Each row's is added up in float32 first, for autograd adds a sparse gradient to that of a tied
    vocabulary head part by part, in low precision. Not for an accelerator, which adds up in no fixed order."""

    @staticmethod
    def forward(ctx: Any, weight_VD: Tensor, token: Tensor) -> Tensor:
        ctx.save_for_backward(token)
        ctx.size = weight_VD.shape
        return nn.functional.embedding(token, weight_VD)

    @staticmethod
    def backward(ctx: Any, *grads_out: Tensor) -> tuple[Tensor, None]:
        (token,), grad = ctx.saved_tensors, grads_out[0].flatten(0, -2)
        token_R, row_S = token.flatten().unique(return_inverse=True)
        sum_RD = grad.new_zeros(len(token_R), grad.shape[-1], dtype=torch.float32).index_add_(0, row_S, grad.float())
        return torch.sparse_coo_tensor(
            token_R[None], sum_RD.to(grad.dtype), ctx.size, is_coalesced=True, check_invariants=False
        ), None


def _hand_over(high: Tensor, low: Tensor) -> None:
    assert low.grad is not None
    try:
        wide = high.grad is None or low.grad.is_sparse
        grad = low.grad.to(high.dtype) if wide else low.grad
        high.grad = grad.to_dense() if high.grad is None else high.grad.add_(grad)
    finally:
        low.grad = None  # where memory ran out too: what is tried again must not add to it
