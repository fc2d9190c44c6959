"""Signs that a run learns nothing, or the wrong thing: it must not look like success."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from truing.runs.checkpoint import State

WATCHED_SIGNS = (
    "reward/mean", "reward/std", "advantage/std", "kl/per_response", "response/unfinished", "policy/entropy",
    "policy/first_ratio",
)  # fmt: skip
FEW = 3  # iterations in a row before a sign counts
RUNAWAY_NATS = 50.0  # drift of a response from the reference
COLLAPSED = 0.1  # share of the first entropy
ENDLESS = 0.95  # share of responses cut by the length limit
ROUNDING = 1e-6  # share of a mean by which equal numbers differ from it in float32
RATIO_OFF = 0.02  # the first update is made by the very policy that sampled
ENOUGH = 20  # held-out pairs or prompts before their mean says anything
SURE = 2.0  # standard errors
LOW_FOR_LORA = 5e-5  # learning rate: "LoRA without regret" (Schulman et al. 2025) finds ten times the usual one best


@dataclass
class History:
    """What the signs of health are read from: these metrics of each iteration."""

    rows: list[dict[str, float]] = field(default_factory=list)

    def append(self, metrics: Mapping[str, float]) -> None:
        """Add those of an iteration. KL that was not measured is taken to be that of the iteration before."""
        known = self.rows[-1] if self.rows else {}
        self.rows.append({name: metrics.get(name, known.get(name, 0.0)) for name in WATCHED_SIGNS})

    def capture(self) -> State:
        """All of them."""
        return State({}, {"rows": self.rows})

    def restore(self, state: State) -> None:
        """Go on after these."""
        self.rows = state.facts["rows"]


def beforehand(prompts: int, asked: int, lr: float, adapts: bool, cuts: bool) -> list[str]:
    """What is amiss with policy optimisation before it begins, a line each.

    Of so many `prompts` it will ask `asked`; `adapts` is with LoRA, and `cuts` with top-k, top-p or min-p.
    """
    lines = (
        (asked < prompts, f"{prompts - asked} of {prompts} prompts are never asked: iterations are too few for more"),
        (adapts and lr < LOW_FOR_LORA, f"lr = {lr:g} moves an adapter little: with LoRA 1e-4 is usual"),
        (
            cuts,
            "top_k, top_p or min_p cut the distribution that is sampled from, while the ratio is taken between whole "
            "distributions: the gradient is biased towards what was kept",
        ),
    )
    return [line for holds, line in lines if holds]


def signs(history: Sequence[Mapping[str, float]], responses: int) -> list[str]:
    """What is wrong with policy optimisation so far, a line each.

    `history` holds each iteration's figures, of so many responses each.
    """
    now, late = history[-1], history[-FEW:]
    told = []
    if now["kl/per_response"] > RUNAWAY_NATS:
        told.append(f"drift runs away: over {RUNAWAY_NATS:.0f} nats a response; raise kl_in_reward or lower the lr")
    if abs(now["policy/first_ratio"] - 1) > RATIO_OFF:
        told.append("the ratio of the first update is not 1: sampling and learning disagree about the same policy")
    if len(late) < FEW:
        return told
    if all(f["policy/entropy"] < COLLAPSED * history[0]["policy/entropy"] for f in late):
        told.append(
            f"entropy has collapsed below {COLLAPSED:.0%} of its start: responses are nearly the same each time"
        )
    if all(f["response/unfinished"] > ENDLESS for f in late):
        told.append("nearly no response ends before the length limit: raise max_new_tokens, or set missing_end_penalty")
    if responses == 1:
        return told  # a single score equals itself
    if all(f["reward/std"] <= ROUNDING * abs(f["reward/mean"]) for f in late):
        told.append("all scores of an iteration are equal: there is nothing to learn from")
    elif all(f["advantage/std"] < 1e-8 for f in late):
        told.append("all answers to a prompt score the same: their advantages are zero and nothing is learned")
    return told


def overoptimised(
    history: Sequence[Mapping[str, float]], before: Mapping[str, float], after: Mapping[str, float], prompts: int
) -> list[str]:
    """Whether the reward rose on the prompts learned from while it fell, by more than chance, on those held out."""
    few = history[: max(1, len(history) // 5)], history[-max(1, len(history) // 5) :]
    first, last = (sum(f["reward/mean"] for f in some) / len(some) for some in few)
    error = math.hypot(before["reward_std"], after["reward_std"]) / math.sqrt(prompts)
    if prompts >= ENOUGH and last > first and before["reward"] - after["reward"] > SURE * error:
        return [f"the reward rose while learning ({first:.3g} to {last:.3g}) and fell on held-out prompts "
                f"({before['reward']:.3g} to {after['reward']:.3g}): it is being gamed, or memorised"]  # fmt: skip
    return []


def worse_than_length(quality: Mapping[str, Any]) -> list[str]:
    """Whether a reward model is beaten on held-out judgements by looking at lengths alone, by more than chance."""
    name, best = max(
        (("longer", quality["longer_wins_accuracy"]), ("shorter", quality["shorter_wins_accuracy"])),
        key=lambda pair: pair[1],
    )
    if quality["held_out_pairs"] >= ENOUGH and quality["reward_model_accuracy_interval"][1] < best:
        return [f"the reward model is right {quality['reward_model_accuracy']:.1%} of the time on held-out judgements, "
                f'and "the {name} one wins" {best:.1%}: it has not learned what people prefer']  # fmt: skip
    return []
