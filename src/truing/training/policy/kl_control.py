"""The KL coefficient of an iteration: as configured, or adapted so that KL stays near a target."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from truing.data.rollouts import Experience
from truing.maths.kl import AdaptiveKL
from truing.runs.checkpoint import State
from truing.training.policy.algorithms import Algorithm


@dataclass
class KLControl:
    """Sets what KL from the reference costs in the reward; without a controller it is what the algorithm says."""

    controller: AdaptiveKL | None

    def applied(self, algo: Algorithm) -> Algorithm:
        """The algorithm at the coefficient of now."""
        return replace(algo, kl_in_reward=self.controller.coefficient) if self.controller else algo

    def observe(self, experience: Experience) -> None:
        """Adapt to the KL of an iteration."""
        if self.controller is not None:
            self.controller = self.controller.update(experience.kl_B.mean().item(), len(experience))

    @property
    def metrics(self) -> dict[str, float]:
        """The coefficient of now, where it is adapted."""
        return {"kl/coefficient": self.controller.coefficient} if self.controller else {}

    def capture(self) -> State:
        """The controller."""
        return State({}, asdict(self.controller) if self.controller else {})

    def restore(self, state: State) -> None:
        """Go on with that one."""
        self.controller = AdaptiveKL(**state.facts) if state.facts else None
