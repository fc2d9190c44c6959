"""The training loop of every stage: what is done at a step, between the maths of an update and the folder of a run.

A stage encodes its examples, builds a Learner and says what one update is; the loop reads the examples in order, keeps
within memory, puts a batch that moved nothing in quarantine, measures speed, logs, shows, saves, and resumes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import torch

from truing.data.batches import minibatches, rows_in
from truing.errors import Diverged
from truing.models.roles import Policy, Scorer, trainable
from truing.seams import seam
from truing.settings import require
from truing.training.checkpoint import State
from truing.training.keeper import Keeper, Part
from truing.training.optimize import Learning, Moved, Optimizer, ready, settled, speed, tell, whole
from truing.training.progress import Progress
from truing.training.run import Run

SMALLEST_BUDGET = 16  # tokens of a micro-batch: where these have no room, nothing has
Split = TypeVar("Split")
Outcome = TypeVar("Outcome")
Net = TypeVar("Net", Policy, Scorer)


@dataclass
class MicroBatches:
    """Cuts what is computed together into micro-batches that memory holds, and remembers how large these may be.

    Results do not depend on it: a token's weight in a mean is given before its micro-batch is.
    """

    budget_tokens: int  # most tokens of one
    warn: Callable[[str], None] = print

    def run(
        self, split: Callable[[int], Split], work: Callable[[Split], Outcome], undo: Callable[[], None] = lambda: None
    ) -> Outcome:
        """The result of `work` on what `split` makes of so many tokens each; where memory runs out, of half as many.

        `undo` clears what a failed try has added up. Raises what `work` raises where less does not help.
        """
        while True:
            try:
                return work(split(self.budget_tokens))
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error) or self.budget_tokens <= SMALLEST_BUDGET:
                    raise
            undo()
            self.budget_tokens //= 2
            self.warn(
                f"out of memory: micro-batches have {self.budget_tokens} tokens from now on; the results stay the same"
            )

    def capture(self) -> State:
        """What memory allowed so far."""
        return State({}, {"budget": self.budget_tokens})

    def restore(self, state: State) -> None:
        """Allow no more than that."""
        self.budget_tokens = min(self.budget_tokens, state.facts["budget"])


def _is_out_of_memory(error: Exception) -> bool:
    message = str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in message


@dataclass(frozen=True)
class Update:
    """What an update did: its losses and what else it measured, by metric, and how each network moved."""

    measured: dict[str, float]
    moved: dict[str, Moved]

    @property
    def skipped(self) -> bool:
        """Whether a network was left as it was: its gradient is not finite, or leaps."""
        return any(moved.skipped for moved in self.moved.values())

    @property
    def figures(self) -> dict[str, float]:
        """All of it by metric."""
        moved = {f"{name}/{key}": float(value) for name, m in self.moved.items() for key, value in asdict(m).items()}
        return self.measured | moved


@dataclass
class Learner(Generic[Net]):
    """A network that learns, by an optimizer of its own, in micro-batches that memory holds."""

    name: str  # in metrics
    role: Net
    optimizer: Optimizer
    micro_batches: MicroBatches

    @classmethod
    def of(
        cls, name: str, role: Net, learning: Learning, steps: int, warn: Callable[[str], None] = print
    ) -> Learner[Net]:
        """Made ready to compute as `learning` asks, in so many updates."""
        ready(role, learning)
        optimizer = Optimizer(trainable(role), learning, steps, role.follow)
        return cls(name, role, optimizer, MicroBatches(learning.budget_tokens, warn))

    @classmethod
    def of_run(cls, name: str, role: Net, learning: Learning, steps: int, run: Run) -> Learner[Net]:
        """The same with the precision of the whole run, which the person is told."""
        learning = settled(learning, role, run)
        tell(learning.precision, role, run)
        return cls.of(name, role, learning, steps, run.say)

    def update(
        self, split: Callable[[int], Split], gradients: Callable[[Split], dict[str, float]], tokens: int, flops: float
    ) -> Update:
        """Move by the gradients that `gradients` adds up over micro-batches of a minibatch.

        It returns this process's part of the losses, of which the first is watched for leaps. `tokens` are read and
        `flops` needed for the whole minibatch.
        """
        begin = time.perf_counter()
        losses = whole(self.micro_batches.run(split, gradients, self.optimizer.clear))
        moved = self.optimizer.step(next(iter(losses.values())))
        rates = speed(tokens, flops, time.perf_counter() - begin, self.role.device)
        return Update({**losses, "tokens": float(tokens), **rates}, {self.name: moved})

    def parts(self) -> dict[str, Part]:
        """Its state besides the weights, by name."""
        return {"optimizer": self.optimizer, "memory": self.micro_batches}


@dataclass(frozen=True)
class Passes:
    """Passes over `count` examples, in shuffled order, so many at each step, until `rows` of them are read in all."""

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
    """Passes over the examples; reward models overfit soon after one (Ouyang et al. 2022)."""
    batch_size: int = 32
    """Demonstrations, judgements (a ranking is one) or windows of text in one update; the last takes what is left."""

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
    """The steps of a run, of which some may be done when it begins."""

    run: Run
    passes: Passes
    keeper: Keeper
    progress: Progress
    done: int

    def __iter__(self) -> Iterator[list[int]]:
        """The examples of each step that is left, by number."""
        passes = self.passes
        return minibatches(passes.count, passes.batch_size, passes.rows, self.run.settings.seed, self.done)

    @property
    def step(self) -> int:
        """The number of the step at work, from 1."""
        return self.done + 1

    def update(self, update: Callable[[], Update], **batch: Any) -> dict[str, float]:
        """What an update did, by metric. `batch` is what its batch is known by in quarantine."""
        return watched(update, partial(self.run.quarantine, self.step, **batch)).figures

    def passed(self) -> None:
        """Save if it is due, in the middle of a step. Raises Stopped where a signal came."""
        self.keeper.passed(self.done)

    def finish(self, figures: dict[str, float], sample: str = "") -> None:
        """The step is done: log and show it, and save if it is due. Raises Stopped where a signal came."""
        self.done += 1
        self.run.log(self.done, **figures)
        self.progress.update(self.done, figures, sample)
        seam("update")
        self.passed()


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
