"""The state of policy optimisation: all that an iteration leaves behind, and an iteration that was broken off."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from truing.data.records import Response
from truing.data.rollouts import Rollouts
from truing.maths.advantages import RunningMoments
from truing.maths.kl import AdaptiveKL
from truing.training.checkpoint import State
from truing.training.health import WATCHED_SIGNS
from truing.training.judge import Judge
from truing.training.keeper import Draws, Facts, Part, Weights
from truing.training.nets import Nets
from truing.training.policy_step import Place
from truing.training.pretrain_term import PretrainTerm


@dataclass
class Standing:
    """Where policy optimisation stands, besides its weights."""

    nets: Nets
    judge: Judge
    rng: torch.Generator
    price: AdaptiveKL | None
    extra: PretrainTerm | None
    before: dict[str, float] = field(default_factory=dict)  # figures of the policy before the first iteration
    history: list[dict[str, float]] = field(default_factory=list)  # what the signs of health are read from
    cost: dict[str, float] = field(default_factory=dict)  # of saving
    place: Place = field(default_factory=Place)

    def parts(self, reference_moves: bool) -> dict[str, Part]:
        """All of it, by name."""
        nets = self.nets
        parts: dict[str, Part] = {
            "policy": Weights(nets.policy), "policy_optimizer": nets.policy_optimizer, "draws": Draws(self.rng),
            "standing": Facts(self._told, self._taken), "place": self,
        }  # fmt: skip
        if nets.reference is not None and reference_moves:
            parts["reference"] = Weights(nets.reference, everything=True)
        if nets.critic is not None and nets.critic_optimizer is not None:
            parts |= {"critic": Weights(nets.critic), "critic_optimizer": nets.critic_optimizer}
        return parts

    def note(self, figures: dict[str, float]) -> None:
        """Remember what the signs of health are read from. Where drift costs nothing, it is not measured each time."""
        known = self.history[-1] if self.history else {}
        self.history.append({name: figures.get(name, known.get(name, 0.0)) for name in WATCHED_SIGNS})

    def _told(self) -> dict[str, Any]:
        return {
            "before": self.before, "history": self.history, "baseline": asdict(self.nets.baseline),
            "recomputes": self.nets.recomputes, "budget_tokens": self.nets.micro_batches.budget_tokens,
            "scores": asdict(self.judge.moments), "price": asdict(self.price) if self.price else None,
            "extra": self.extra.done if self.extra else 0,
        }  # fmt: skip

    def _taken(self, facts: dict[str, Any]) -> None:
        self.history = facts["history"]
        self.before, self.nets.recomputes = facts["before"], facts["recomputes"]
        self.nets.micro_batches.allow(facts["budget_tokens"])
        self.nets.baseline = RunningMoments(**facts["baseline"])
        self.judge.moments = RunningMoments(**facts["scores"])
        self.price = AdaptiveKL(**facts["price"]) if facts["price"] else None
        if self.extra is not None:
            self.extra.done = facts["extra"]

    def capture(self) -> State:
        """The iteration at work: its responses with what is known of them, and how far learning has come."""
        place = self.place
        facts = {"figures": place.figures, "answers": [r.text for r in place.answers], "epoch": place.epoch,
                 "batch": place.batch, "seen": place.seen}  # fmt: skip
        if place.said is None:
            return State({}, facts)
        tensors = {f"said.{name}": tensor for name, tensor in place.said.named().items()}
        if place.order_B is not None:
            tensors["order_B"] = place.order_B
        return State(tensors, facts)

    def restore(self, state: State) -> None:
        """Go on with that iteration."""
        facts = state.facts
        answers = [Response(text) for text in facts["answers"]]
        self.place = Place(None, facts["figures"], answers, None, facts["epoch"], facts["batch"], facts["seen"])
        said = {key.removeprefix("said."): t for key, t in state.tensors.items() if key != "order_B"}
        if said:
            self.place.said = Rollouts.of(said)
            self.place.order_B = state.tensors.get("order_B")
