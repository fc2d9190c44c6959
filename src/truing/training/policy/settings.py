"""The settings of policy optimisation."""

from __future__ import annotations

from dataclasses import dataclass, field

from truing.data.settings import DataSettings
from truing.generation.sampling import Sampling
from truing.models.adapters import Adapter
from truing.runs.settings import RunSettings
from truing.settings import Flat, require
from truing.training.optimize import Learning
from truing.training.policy.algorithms import Algorithm, algorithm
from truing.training.policy.scoring import ScoreSettings


@dataclass(frozen=True)
class Config:
    """Policy optimisation by any row of the table."""

    model: str
    """The policy to start from: a hub id, a folder, or an earlier run."""
    inputs: Flat[DataSettings]
    """Prompts: files, folders, runs or hub ids."""
    reward: tuple[str, ...]
    """What scores: a reward model's run, file.py:function, regex:PATTERN, exact, http://…; 0.5*NAME weighs several."""
    algorithm: str = "ppo"
    """A row of the table; --explain prints it in full."""
    override: dict[str, float] = field(default_factory=dict)
    """Numbers of the row to replace, such as kl_in_reward 0.1."""
    choose: dict[str, str] = field(default_factory=dict)
    """Functions of the row to replace, such as advantage reward_to_go, or kl k3."""
    iterations: int = 100
    """Rounds of sampling and learning."""
    prompts_per_iteration: int = 64
    """Prompts answered in each."""
    sampling: Sampling = field(default_factory=Sampling)
    """How responses are drawn."""
    critic_from: str = "auto"
    """Where the critic starts: reward (the reward model), policy, trunk (a head on the policy), or a folder."""
    critic_lr: float = 0.0
    """Learning rate of a separate critic; 0: the policy's."""
    critic_warmup: int = 0
    """Iterations in which only a separate critic learns."""
    kl_target: float = 0.0
    """Drift to hold, in nats a response, by adapting kl_in_reward; 0 keeps it fixed."""
    kl_horizon: int = 10000
    """Responses over which the adaptive price of drift corrects itself."""
    reference: str = ""
    """The model to stay near; empty: the policy as it was at the start."""
    reference_every: int = 0
    """Iterations between two moves of the reference toward the policy; 0: it stays."""
    reference_pull: float = 1.0
    """How far it moves then: 1 all the way, 0.01 each iteration is an EMA."""
    scores: Flat[ScoreSettings] = ScoreSettings()
    """What is done to scores before they are learned from."""
    pretrain_data: tuple[str, ...] = ()
    """Demonstrations whose likelihood is kept up meanwhile (PPO-ptx)."""
    pretrain_weight: float = 0.0
    """Weight of that term; 0: off."""
    pretrain_batch: int = 16
    """Demonstrations in that term at each update."""
    held_out: float = 0.1
    """Share of root prompts kept for the figures before and after."""
    evaluation_prompts: int = 64
    """At most so many of them are answered."""
    tug_every: int = 10
    """Iterations between two measurements of the tug of war; 0: never."""
    check_every: int = 10
    """Iterations between two checks of collected log-probs, and of drift where none is priced; 0: the first only."""
    save_every: int = 0
    """Iterations between two saved checkpoints; 0: the last only."""
    freeze: tuple[str, ...] = ()
    """Patterns of the policy's parameter names that do not learn, such as *embed*."""
    lora: Adapter = field(default_factory=Adapter)
    """Train a low-rank adapter; the reference is the base without it. The usual lr is then 1e-4, else 1e-5."""
    learning: Learning = field(default_factory=lambda: Learning(lr=0.0, schedule="constant"))
    """How weights move."""
    run: Flat[RunSettings] = RunSettings("runs/rl")
    """Where the run is written."""

    def __post_init__(self) -> None:
        row = self.row  # refuses unknown names and impossible numbers
        require(
            self,
            ("iterations", self.iterations >= 1, "1 or more"),
            ("prompts_per_iteration", self.prompts_per_iteration >= 1, "1 or more"),
            ("critic_lr", self.critic_lr >= 0, "0 or more"),
            ("critic_warmup", 0 <= self.critic_warmup < self.iterations, "0 or more, and below iterations"),
            ("kl_target", self.kl_target >= 0, "0 or more"),
            ("kl_horizon", self.kl_horizon >= 1, "1 or more"),
            ("reference_every", self.reference_every >= 0, "0 or more"),
            ("reference_pull", 0 < self.reference_pull <= 1, "above 0, at most 1"),
            ("pretrain_weight", self.pretrain_weight >= 0, "0 or more"),
            ("pretrain_batch", self.pretrain_batch >= 1, "1 or more"),
            ("held_out", 0 <= self.held_out < 1, "a share, at least 0 and below 1"),
            ("evaluation_prompts", self.evaluation_prompts >= 1, "1 or more"),
            ("tug_every", self.tug_every >= 0, "0 or more"),
            ("check_every", self.check_every >= 0, "0 or more"),
            ("save_every", self.save_every >= 0, "0 or more"),
            ("reward", bool(self.reward), "one source at least"),
            ("sampling.temperature", self.sampling.temperature > 0, "above 0: a policy that never varies cannot learn"),
            ("reference_every", not (self.reference_every and self.lora.lora_rank), "0 with LoRA: the base stays"),
            ("reference", not (self.reference and self.lora.lora_rank), "empty with LoRA: the base is the reference"),
            ("pretrain_data", bool(self.pretrain_data) == bool(self.pretrain_weight), "given with pretrain_weight"),
            ("kl_target", not self.kl_target or row.kl_in_reward > 0, "0 where kl_in_reward is 0"),
            (
                "kl_horizon",
                not self.kl_target or 5 * self.kl_horizon > self.prompts_per_iteration * row.answers,
                "above a fifth of the responses of an iteration: the price changes by up to 0.2 over a horizon",
            ),
        )
        usual = 1e-4 if self.lora.lora_rank else 1e-5  # ten times, "LoRA without regret" (Schulman et al. 2025)
        object.__setattr__(self, "learning", self.learning.rated(usual))

    @property
    def asked(self) -> int:
        """Prompts of all iterations together."""
        return self.iterations * self.prompts_per_iteration

    @property
    def row(self) -> Algorithm:
        """The algorithm, overrides applied."""
        return algorithm(self.algorithm, self.override, self.choose)
