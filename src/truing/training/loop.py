"""The training loop of every stage: what is done at a step, between the maths of an update and the folder of a run.

A stage encodes its examples, builds a Learner and says what one update is. The loop gives the examples in order, logs,
shows, saves and resumes; a Learner keeps within memory, measures speed, and puts a batch that moved nothing in
quarantine. Policy optimisation has learners of its own, and runs in the same loop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from truing.data.batches import minibatches, rows_in
from truing.errors import Diverged
from truing.fault_points import seam
from truing.models.memory import MicroBatches, on_stderr
from truing.models.roles import Policy, Scorer, trainable
from truing.runs.progress import Progress
from truing.runs.resume import Facts, Keeper, Part
from truing.runs.run import Run
from truing.settings import require
from truing.training.optimize import Learning, Optimizer, StepStats, ready, settled, speed, summed_losses, tell

Split = TypeVar("Split")
Net = TypeVar("Net", Policy, Scorer)


@dataclass(frozen=True)
class Update:
    """What an update did: the terms of its loss, the optimizer's step of each network, and what else it measured, by
    metric."""

    losses: dict[str, float]
    steps: dict[str, StepStats]
    measured: dict[str, float]

    @staticmethod
    def of(losses: dict[str, float], steps: dict[str, dict], measured: dict[str, float]) -> Update:
        """From the values of its fields as JSON keeps them."""
        return Update(losses, {name: StepStats(**step) for name, step in steps.items()}, measured)

    @property
    def skipped(self) -> bool:
        """Whether a network was left as it was: its gradient is not finite, or leaps."""
        return any(step.skipped for step in self.steps.values())

    @property
    def metrics(self) -> dict[str, float]:
        """All of it."""
        losses = {f"loss/{name}": value for name, value in self.losses.items()}
        stats = {f"{name}/{key}": float(value) for name, s in self.steps.items() for key, value in asdict(s).items()}
        return losses | self.measured | stats


@dataclass
class Learner(Generic[Net]):
    """A network that learns, by an optimizer of its own, in micro-batches that memory holds."""

    name: str  # in metrics
    role: Net
    optimizer: Optimizer
    micro_batches: MicroBatches

    @classmethod
    def of(
        cls, name: str, role: Net, learning: Learning, steps: int, warn: Callable[[str], None] = on_stderr
    ) -> Learner[Net]:
        """Made ready to compute as `learning` asks, in so many updates."""
        ready(role, learning)
        optimizer = Optimizer(trainable(role), learning, steps, role.follow)
        return cls(name, role, optimizer, MicroBatches(learning.budget_tokens, warn))

    @classmethod
    def for_run(cls, name: str, role: Net, learning: Learning, steps: int, run: Run) -> Learner[Net]:
        """The same with the precision of the whole run, which the person is told."""
        learning = settled(learning, role, run)
        tell(learning.precision, role, run)
        return cls.of(name, role, learning, steps, run.say)

    def update(
        self,
        split: Callable[[int], Split],
        gradients: Callable[[Split], dict[str, float]],
        watch: str,
        tokens: int,
        flops: float,
    ) -> Update:
        """Step by the gradients that `gradients` adds up over what `split` makes of a minibatch; it returns this
        process's part of the terms of the loss.

        Where the term named by `watch` leaps, the step is skipped. `tokens` are read and `flops` needed for the whole
        minibatch.
        """
        begin = time.perf_counter()
        losses = summed_losses(self.micro_batches.run(split, gradients, self.optimizer.clear))
        step = self.optimizer.step(losses[watch])
        rates = speed(tokens, flops, time.perf_counter() - begin, self.role.device)
        return Update(losses, {self.name: step}, {"tokens": float(tokens), **rates})

    def parts(self) -> dict[str, Part]:
        """Its state besides the weights, by name."""
        return {"optimizer": self.optimizer, "memory": memory_part(self.micro_batches)}


def memory_part(batches: MicroBatches) -> Part:
    """What memory allowed, as a part of the state."""
    return Facts(lambda: {"budget": batches.budget_tokens}, lambda facts: batches.allow(facts["budget"]))


@dataclass(frozen=True)
class Passes:
    """Passes over `count` examples, or prompts, in shuffled order: so many at a step, until `rows` are read in all."""

    count: int
    batch_size: int
    rows: int

    @property
    def steps(self) -> int:
        """Steps in all; the last may have fewer examples."""
        return math.ceil(self.rows / self.batch_size)


@dataclass(frozen=True)
class PassSettings:
    """How a stage reads its examples, each of which is read once in a pass."""

    epochs: float = 1.0
    """Passes over the examples."""
    batch_size: int = 32
    """Examples in one update; the last takes what is left, each of which then counts for more."""

    def __post_init__(self) -> None:
        require(
            self,
            ("epochs", 0 < self.epochs < math.inf, "above 0, and finite"),
            ("batch_size", self.batch_size >= 1, "1 or more"),
        )

    def over(self, count: int, run: Run) -> Passes:
        """These passes over so many examples. Warns where one update takes more than all of them."""
        passes = Passes(count, self.batch_size, rows_in(self.epochs, count))
        if count < min(passes.rows, self.batch_size):
            few = f"{passes.steps} updates in all"
            run.say(f"batch_size = {self.batch_size} takes more than all {count} rows at a time: {few}")
        return passes


@dataclass
class Loop:
    """The steps of a run, of which some may be done when it begins: iterate over it, and log what each step did."""

    run: Run
    passes: Passes
    keeper: Keeper
    progress: Progress
    done: int

    def __iter__(self) -> Iterator[list[int]]:
        """The examples of each step that is left, by number. The state is saved where it is due when a step has ended.

        Raises Stopped then where a signal came.
        """
        passes = self.passes
        for chosen in minibatches(passes.count, passes.batch_size, passes.rows, self.run.settings.seed, self.done):
            yield chosen
            self.done += 1
            seam("update")
            self.save_if_due()

    @property
    def step(self) -> int:
        """The number of the step at work, from 1."""
        return self.done + 1

    @property
    def cost(self) -> dict[str, float]:
        """What saving the state has cost, for the summary."""
        return self.keeper.cost

    def run_update(self, update: Callable[[], Update], **batch: Any) -> dict[str, float]:
        """The metrics of an update. `batch` is what its examples are known by in quarantine."""
        return watched(update, partial(self.run.quarantine, self.step, **batch)).metrics

    def log(self, metrics: dict[str, float], sample: str = "") -> None:
        """Write down what the step at work did, and show it, with a text for those who watch."""
        self.run.log(self.step, **metrics)
        self.progress.update(self.step, metrics, sample)

    def save_if_due(self) -> None:
        """Save the state where it is due, in the middle of a step, too. Raises Stopped where a signal came."""
        self.keeper.passed(self.done)


@contextmanager
def training_loop(run: Run, passes: Passes, parts: Mapping[str, Part], data: str) -> Iterator[Loop]:
    """The loop of a run, resumed where it was interrupted: `parts` are all it goes on from, put back then.

    `data` is the fingerprint of what is learned from. Within it a signal ends the run once its state is saved.
    """
    with Keeper(run, parts, data) as keeper, Progress(passes.steps, run.stage) as progress:
        yield Loop(run, passes, keeper, progress, keeper.resume())


def watched(update: Callable[[], Update], quarantine: Callable[[], None]) -> Update:
    """What an update did; a batch that moved nothing, or ends the run, is put in quarantine.

    Raises Diverged where the update does.
    """
    try:
        done = update()
    except Diverged:
        quarantine()
        raise
    if done.skipped:
        quarantine()
    return done
