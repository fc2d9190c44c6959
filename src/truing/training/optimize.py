"""The optimizer step that all stages share: AdamW, a schedule, a bound on the gradient's norm."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast

import torch
from torch import nn

from truing.errors import Diverged, UserError
from truing.models.precision import Precision, best_flops, described, dtype_of
from truing.models.roles import Role
from truing.runs import distributed
from truing.runs.checkpoint import State
from truing.runs.run import Run
from truing.settings import require

SPIKE, REMEMBERED = 6.0, 128  # standard deviations above the mean of so many losses or gradient norms: no step
BROKEN = 3  # gradients in a row that are not finite end the run


@dataclass(frozen=True)
class Learning:
    """How weights move."""

    lr: float = 1e-5
    """Peak learning rate; 0: the usual one of the stage, which config.toml then holds."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """What the learning rate does after the warm-up: stay, or fall so that it would be zero after the last step."""
    warmup: float = 0.0
    """Share of the steps in which the learning rate rises from zero."""
    weight_decay: float = 0.0
    """AdamW's decoupled weight decay, on matrices only."""
    beta1: float = 0.9
    """Adam's decay of the mean gradient."""
    beta2: float = 0.95
    """Adam's decay of the mean squared gradient."""
    adam_eps: float = 1e-5
    """Adam's epsilon: the field's RLHF code uses 1e-5, for small learning rates are sensitive to it."""
    max_grad_norm: float = 1.0
    """A longer gradient is scaled down to this norm; 0 never scales."""
    budget_tokens: int = 4096
    """Most tokens of one micro-batch: bounds memory, never changes the result."""
    checkpoint_activations: bool = False
    """Compute activations again in the backward pass: less memory, about a third more time. Not with compile."""
    compile: bool = False
    """Compile the layers that learn: some 5 to 10 % faster, after half a minute; going on may change last bits."""
    precision: Precision = "auto"
    """What is computed with; auto takes bfloat16 where this machine does it faster. Weights that learn stay float32."""

    def __post_init__(self) -> None:
        require(
            self,
            ("lr", self.lr >= 0, "0 or more"),
            ("warmup", 0 <= self.warmup < 1, "a share, at least 0 and below 1"),
            ("weight_decay", self.weight_decay >= 0, "0 or more"),
            ("beta1", 0 <= self.beta1 < 1, "at least 0, below 1"),
            ("beta2", 0 <= self.beta2 < 1, "at least 0, below 1"),
            ("adam_eps", self.adam_eps > 0, "above 0"),
            ("max_grad_norm", self.max_grad_norm >= 0, "0 or more"),
            ("budget_tokens", self.budget_tokens >= 1, "1 or more"),
            ("compile", not (self.compile and self.checkpoint_activations), "false with checkpoint_activations = true"),
        )

    def rated(self, usual: float) -> Learning:
        """With the usual learning rate where none is given."""
        return self if self.lr else replace(self, lr=usual)


def ready(role: Role, learning: Learning, moves: bool = True) -> None:
    """Set a role up to compute as `learning` asks."""
    if learning.checkpoint_activations and moves:
        role.checkpoint_activations()
    role.compute_as(learning.precision, moves)
    if learning.compile and moves:
        role.compile_layers()


def settled(learning: Learning, role: Role, run: Run) -> Learning:
    """With the precision of the whole run: "auto" measures once, and a run that goes on keeps what was chosen."""
    return replace(learning, precision=settled_precision(learning.precision, role, run))


def settled_precision(wanted: Precision, role: Role, run: Run) -> Precision:
    """What a run computes with: "auto" measured once."""
    width, device = role.width, role.device
    measured = run.decided("precision", lambda: str(dtype_of(wanted, width, device)).removeprefix("torch."))
    return cast(Precision, measured)


def tell(precision: Precision, role: Role, run: Run) -> None:
    """Tell the person what a run computes with, once nothing that was asked for can be refused any more."""
    run.note(described(precision, role.width, role.device))


def speed(tokens: int, flops: float, seconds: float, device: torch.device) -> dict[str, float]:
    """Tokens a second, and the share of the machine's best matrix product that the needed arithmetic came to."""
    best = best_flops(str(device)) * distributed.count()
    return {"rate/tokens_per_s": tokens / seconds, "rate/share_of_peak": flops / seconds / best}


def summed_losses(terms: Mapping[str, float]) -> dict[str, float]:
    """The terms of a minibatch's loss, summed over the processes that share it.

    Raises Diverged, in all of them, where one is no number: no update must come of it.
    """
    sums = distributed.summed(terms)
    for name, value in sums.items():
        if not math.isfinite(value):
            raise Diverged(f"loss/{name} is {value}: nothing was learned from this batch; try a smaller lr")
    return sums


def rate(step: int, steps: int, learning: Learning) -> float:
    """Learning rate of step `step` (counted from 0) of `steps`."""
    warm = round(learning.warmup * steps)
    if step < warm:
        return learning.lr * (step + 1) / warm
    done = (step - warm) / max(1, steps - warm)
    factors = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}
    return learning.lr * factors[learning.schedule]


class Recent:
    """The last numbers of one kind, by their logarithms: the norms of gradients spread by factors, not by sums."""

    def __init__(self) -> None:
        self.logs: deque[float] = deque(maxlen=REMEMBERED)

    def leaps(self, number: float) -> bool:
        """Whether it is far above the last ones, at least double. It joins them, so a new level is soon accepted."""
        known, here = list(self.logs), math.log(max(number, 1e-30)) if math.isfinite(number) else math.nan
        if math.isfinite(here):
            self.logs.append(here)
        if len(known) < REMEMBERED:
            return False
        return here - statistics.fmean(known) > max(SPIKE * statistics.pstdev(known), math.log(2))


@dataclass(frozen=True)
class StepStats:
    """A step of an optimizer: its learning rate, its gradient's norm before clipping, and whether nothing moved."""

    lr: float
    grad_norm: float
    skipped: bool


class Optimizer:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) over some parameters, for a known number of steps."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], learning: Learning, steps: int,
        follow: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """`follow` is called when the weights have moved: a copy that computes takes them over."""
        self.parameters, self.follow = list(parameters), follow
        if not self.parameters:
            raise UserError("nothing is left to train: every parameter is frozen")
        matrices = [p for p in self.parameters if p.ndim >= 2]
        others = [p for p in self.parameters if p.ndim < 2]
        groups = [
            {"params": matrices, "weight_decay": learning.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        betas = (learning.beta1, learning.beta2)
        self.adam = torch.optim.AdamW(
            [g for g in groups if g["params"]], lr=learning.lr, betas=betas, eps=learning.adam_eps, fused=True
        )
        self.learning, self.steps, self.done, self.broken = learning, steps, 0, 0
        self.norms, self.losses = Recent(), Recent()

    def step(self, loss: float | None = None) -> StepStats:
        """Move the weights by the gradients that were added up, and clear these.

        Where several processes learn, theirs are added up first, so that all take the same step.
        A gradient that is not finite, or leaps above the last ones, moves nothing, and the schedule stays where it is;
        the same where a `loss` is given and leaps. Raises Diverged after three gradients in a row were not finite.
        """
        distributed.add_up(self.parameters)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None]).item()
        now = rate(self.done, self.steps, self.learning)
        self.broken = 0 if math.isfinite(norm) else self.broken + 1
        if self.broken >= BROKEN:
            raise Diverged(
                f"{BROKEN} gradients in a row are not finite, the last at update {self.done}: try a smaller lr"
            )
        leaps = [self.norms.leaps(norm), loss is not None and self.losses.leaps(loss)]  # both remember what they saw
        if self.broken or any(leaps):
            self.clear()
            return StepStats(now, norm, skipped=True)
        for group in self.adam.param_groups:
            group["lr"] = now
        # What a gradient is longer than allowed, the fused step divides by: a pass over all gradients less.
        excess = norm / (self.learning.max_grad_norm or math.inf)
        self.adam.grad_scale = torch.tensor(excess, dtype=torch.float32) if excess > 1 else None  # type: ignore[attr-defined]
        self.adam.step()
        self.clear()
        self.follow()
        self.done += 1
        return StepStats(now, norm, skipped=False)

    def clear(self) -> None:
        """Forget the gradients added up so far."""
        self.adam.zero_grad(set_to_none=True)

    def capture(self) -> State:
        """Adam's moments by the number of their parameter, and the steps done."""
        moments = self.adam.state_dict()["state"]
        return State({f"{i}.{name}": t for i, own in moments.items() for name, t in own.items()},
                     {"done": self.done, "broken": self.broken, "norms": list(self.norms.logs),
                      "losses": list(self.losses.logs)})  # fmt: skip

    def restore(self, state: State) -> None:
        """Go on with these."""
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in state.tensors.items():
            number, _, name = key.partition(".")
            moments.setdefault(int(number), {})[name] = tensor
        self.adam.load_state_dict({**self.adam.state_dict(), "state": moments})
        self.done, self.broken = state.facts["done"], state.facts["broken"]
        self.norms.logs.extend(state.facts["norms"])
        self.losses.logs.extend(state.facts["losses"])
