"""THE TABLE: policy-gradient methods as rows of choices. The only place that knows their names."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from torch import Tensor

from truing.errors import UserError, nearest
from truing.maths.advantages import (
    batch_mean,
    gae,
    global_norm,
    group_mean,
    group_norm,
    k_step,
    leave_one_out,
    reward_to_go,
    reward_to_go_minus_baseline,
    total_return,
)
from truing.maths.averages import per_limit, per_response, per_token
from truing.maths.kl import k1, k2, k3
from truing.maths.surrogates import clipped_ratio, score_function, sequence_ratio
from truing.settings import require


@dataclass(frozen=True)
class Algorithm:
    """A point in the space of policy-gradient methods. A coefficient of zero means: off."""

    advantage: Callable[..., Tensor]
    """credit for each token"""
    surrogate: Callable[..., Tensor]
    """loss of each token"""
    average: Callable[..., Tensor]
    """weight of each token in the mean"""
    kl: Callable[..., Tensor] = k1
    """estimate of the drift from the reference"""
    kl_in_reward: float = 0.0
    """price of drift, taken from each token's reward"""
    kl_in_loss: float = 0.0
    """weight of drift as a term of the loss"""
    exact_kl: float = 0.0
    """1: drift in the loss is summed over the whole vocabulary, 0: estimated at the sampled token"""
    entropy: float = 0.0
    """weight of the entropy bonus"""
    answers: int = 1
    """responses sampled for each prompt"""
    epochs: int = 1
    """passes over the responses of one iteration"""
    minibatches: int = 1
    """updates in each pass"""
    clip_low: float = 0.2
    """the ratio is held above 1 minus this"""
    clip_high: float = 0.2
    """the ratio is held below 1 plus this"""
    dual_clip: float = 0.0
    """bound on the loss where the advantage is negative, in units of it; above 1"""
    whiten: float = 0.0
    """1: advantages of the whole iteration get mean 0 and standard deviation 1"""
    critic: float = 0.0
    """weight of the critic's loss; above 0 there is a critic"""
    value_clip: float = 0.2
    """the critic moves at most this far from its estimate while sampling"""
    gamma: float = 1.0
    """discount of later rewards, for each token"""
    lam: float = 0.95
    """GAE's mix of near (0) and far (1) estimates"""
    k_steps: int = 1
    """steps summed before the critic is asked, in k-step advantages"""
    bootstrap: float = 0.0
    """1: a response cut by the length limit is worth what the critic says of its end, 0: nothing more comes"""

    def __post_init__(self) -> None:
        require(
            self,
            ("answers", self.answers >= 1, "1 or more"),
            ("epochs", self.epochs >= 1, "1 or more"),
            ("minibatches", self.minibatches >= 1, "1 or more"),
            ("clip_low", 0 <= self.clip_low < 1, "at least 0, below 1"),
            ("clip_high", self.clip_high >= 0, "0 or more"),
            ("dual_clip", self.dual_clip == 0 or self.dual_clip > 1, "0 (off) or above 1"),
            ("gamma", 0 < self.gamma <= 1, "above 0, at most 1"),
            ("lam", 0 <= self.lam <= 1, "between 0 and 1"),
            ("k_steps", self.k_steps >= 1, "1 or more"),
            ("kl_in_reward", self.kl_in_reward >= 0, "0 or more"),
            ("kl_in_loss", self.kl_in_loss >= 0, "0 or more"),
            ("entropy", self.entropy >= 0, "0 or more"),
            ("critic", self.critic >= 0, "0 or more"),
            ("value_clip", self.value_clip >= 0, "0 or more"),
            *((name, getattr(self, name) in (0, 1), "0 or 1") for name in ("exact_kl", "whiten", "bootstrap")),
        )
        if self.exact_kl and not self.kl_in_loss:
            raise UserError(
                "exact_kl = 1: there is no KL in the loss to compute: set kl_in_loss above 0, or leave it out"
            )
        if self.compares_answers and self.answers < 2:
            name = self.advantage.__name__
            raise UserError(f"{name} compares answers to one prompt: it needs answers >= 2, not {self.answers}")
        if self.advantage in NEEDS_CRITIC and not self.critic:
            raise UserError(f"{self.advantage.__name__} needs a critic: set critic, its loss's weight, above 0")
        if self.bootstrap and not self.critic:
            raise UserError(
                "bootstrap asks the critic for the worth of a cut response: set critic above 0, or bootstrap = 0"
            )

    @property
    def compares_answers(self) -> bool:
        """Whether credit comes of comparing the answers to one prompt."""
        return self.advantage in COMPARES_ANSWERS

    def asks_reference(self, check: bool) -> bool:
        """Whether the reference is asked: KL from it costs something, or is to be checked."""
        return check or self.kl_in_reward > 0 or self.kl_in_loss > 0


COMPARES_ANSWERS = (leave_one_out, group_mean, group_norm)
NEEDS_CRITIC = (gae, k_step)
SUBTRACTS_VALUE = (*NEEDS_CRITIC, reward_to_go_minus_baseline)  # each token's own: advantage + value is a return

REINFORCE = Algorithm(batch_mean, score_function, per_token, k1, kl_in_reward=0.05)
REINFORCE_PLUS_PLUS = Algorithm(global_norm, clipped_ratio, per_token, k1, kl_in_reward=0.05, epochs=2, minibatches=2)
RLOO = replace(REINFORCE, advantage=leave_one_out, answers=4)
PPO = Algorithm(gae, clipped_ratio, per_token, k1, kl_in_reward=0.05, epochs=4, minibatches=4, whiten=1.0, critic=0.1)
GRPO = Algorithm(group_norm, clipped_ratio, per_response, k3, kl_in_loss=0.04, answers=8, epochs=2, minibatches=2)
DR_GRPO = replace(GRPO, advantage=group_mean, average=per_limit, kl_in_loss=0.0)
DAPO = replace(GRPO, average=per_token, kl_in_loss=0.0, clip_high=0.28)
GSPO = replace(GRPO, surrogate=sequence_ratio, kl_in_loss=0.0, clip_low=3e-4, clip_high=4e-4)

TABLE = {
    "reinforce": REINFORCE,
    "reinforce++": REINFORCE_PLUS_PLUS,
    "rloo": RLOO,
    "ppo": PPO,
    "grpo": GRPO,
    "dr_grpo": DR_GRPO,
    "dapo": DAPO,
    "gspo": GSPO,
}


PARTS: dict[str, tuple[Callable[..., Tensor], ...]] = {
    "advantage": (
        total_return, reward_to_go, reward_to_go_minus_baseline, k_step, gae,
        batch_mean, leave_one_out, group_mean, group_norm, global_norm,
    ),
    "surrogate": (score_function, clipped_ratio, sequence_ratio),
    "average": (per_token, per_response, per_limit),
    "kl": (k1, k2, k3),
}  # fmt: skip


def algorithm(name: str, override: dict[str, float] | None = None, choose: dict[str, str] | None = None) -> Algorithm:
    """The row of this name, with some of its numbers and functions replaced."""
    if name not in TABLE:
        raise UserError(f'algorithm = "{name}" is not a row of the table; {nearest(name, TABLE)}')
    row = TABLE[name]
    numbers = {f.name for f in fields(Algorithm) if isinstance(getattr(row, f.name), int | float)}
    changes: dict[str, object] = {}
    for key, wanted in (choose or {}).items():
        if key not in PARTS:
            raise UserError(f'choose: "{key}" is not a function of the table; {nearest(key, PARTS)}')
        known = {function.__name__: function for function in PARTS[key]}
        if wanted not in known:
            raise UserError(f'choose: {key} = "{wanted}" is not known; {nearest(wanted, known)}')
        changes[key] = known[wanted]
    for key, value in (override or {}).items():
        if key not in numbers:
            raise UserError(f'override: "{key}" is not a number of the table; {nearest(key, numbers)}')
        if isinstance(getattr(row, key), int) and not float(value).is_integer():
            raise UserError(f"override: {key} = {value!r}: it must be a whole number")
        changes[key] = type(getattr(row, key))(value)
    return replace(row, **changes)  # type: ignore[arg-type]


def explain(row: Algorithm) -> list[tuple[str, str, str]]:
    """The row in full: name, value and meaning of each choice; a function is told by the first line about it."""
    meanings = _field_docs()
    lines = []
    for field in fields(row):
        value = getattr(row, field.name)
        if callable(value):
            says = (value.__doc__ or "").strip().splitlines()[0]
            lines.append((field.name, value.__name__, f"{meanings[field.name]}: {says}"))
        else:
            lines.append((field.name, f"{value:g}", meanings[field.name]))
    return lines


def _field_docs() -> dict[str, str]:
    """The line under each field of Algorithm, read from this file: said once, shown in --explain and the docs."""
    import ast
    import inspect

    body = ast.parse(inspect.getsource(Algorithm)).body[0].body  # type: ignore[attr-defined]
    pairs = itertools.pairwise(body)
    return {
        field.target.id: str(note.value.value)
        for field, note in pairs
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(note, ast.Expr)
        and isinstance(note.value, ast.Constant)
    }
