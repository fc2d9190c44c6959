"""The loop of all stages, and a stage of a few lines on it: it learns, resumes, and says what went wrong."""

import json
import os
import signal
from dataclasses import asdict, dataclass
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from truing.data.batches import Sequences
from truing.errors import Diverged
from truing.models import precision
from truing.models.loading import load_scorer
from truing.models.memory import MicroBatches
from truing.models.roles import trainable
from truing.runs.resume import Weights, fingerprint
from truing.runs.run import Result, Run
from truing.runs.settings import RunSettings
from truing.runs.signals import Stopped
from truing.settings import Flat
from truing.training import loop
from truing.training.loop import Learner, PassSettings, Update, training_loop, watched
from truing.training.optimize import REMEMBERED, Learning, Optimizer, StepStats


def test_an_update_is_skipped_where_one_network_is_and_tells_all_by_metric():
    still, moved = StepStats(1e-3, float("inf"), skipped=True), StepStats(1e-4, 2.0, skipped=False)
    update = Update({"policy": 0.5}, {"policy": moved, "critic": still}, {"policy/ratio": 1.5})
    assert update.skipped and not Update({}, {"policy": moved}, {}).skipped
    assert update.metrics == {
        "loss/policy": 0.5, "policy/ratio": 1.5, "policy/lr": 1e-4, "policy/grad_norm": 2.0, "policy/skipped": 0.0,
        "critic/lr": 1e-3, "critic/grad_norm": float("inf"), "critic/skipped": 1.0,
    }  # fmt: skip
    assert Update.of(**json.loads(json.dumps(asdict(update)))) == update


def test_a_batch_that_ends_the_run_or_moves_nothing_is_kept():
    kept = []

    def diverges():
        raise Diverged("loss is nan")

    with pytest.raises(Diverged):
        watched(diverges, lambda: kept.append("diverged"))
    for skipped in (False, True):
        update = Update({}, {"critic": StepStats(1.0, 1.0, skipped)}, {})
        assert watched(lambda update=update: update, lambda: kept.append("skipped")) is update
    assert kept == ["diverged", "skipped"]


def test_an_update_is_skipped_where_the_loss_that_is_watched_leaps_and_another_may():
    """The gradient is the same throughout."""
    weight = torch.nn.Parameter(torch.ones(3))
    role = SimpleNamespace(device=torch.device("cpu"))
    learner = Learner("policy", role, Optimizer([weight], Learning(), 999), MicroBatches(8))
    skipped = []
    for watched_loss, other in [*[(1.0, 1.0)] * REMEMBERED, (1.0, 1e6), (1e6, 1.0)]:

        def gradients(budget, losses=(other, watched_loss)):
            weight.sum().backward()
            return {"other": losses[0], "watched": losses[1]}

        skipped.append(learner.update(lambda budget: budget, gradients, "watched", 5, 1e3).skipped)
    assert skipped == [False] * REMEMBERED + [False, True]


@pytest.mark.parametrize(
    ("epochs", "batch_size", "steps", "rows", "warns"),
    [
        (1.0, 4, 2, 7, False),
        (2.5, 4, 5, 18, False),
        (0.1, 4, 1, 1, False),
        (0.5, 8, 1, 4, False),
        (3.0, 8, 3, 21, True),
    ],
)
def test_passes_read_every_example_and_warn_where_a_batch_takes_more_than_all(
    tmp_path, epochs, batch_size, steps, rows, warns
):
    with Run(RunSettings(str(tmp_path / "run")), Learning(), "sft", continues=False) as run:
        passes = PassSettings(epochs, batch_size).over(7, run)
        assert (passes.steps, passes.rows) == (steps, rows)
        assert run.warnings == ["batch_size = 8 takes more than all 7 rows at a time: 3 updates in all"] * warns


# A stage of its own: a network learns to give each response the number that stands beside it.


@dataclass(frozen=True)
class Config:
    model: str
    learning: Learning
    passes: Flat[PassSettings] = PassSettings(3.0, batch_size=2)
    run: Flat[RunSettings] = RunSettings("runs/numbers")


def squared_errors(scorer, number_B, micro_batches):
    total = 0.0
    for index_B in micro_batches:
        error = ((scorer(TOKENS.select(index_B)) - number_B[index_B]) ** 2).sum() / len(number_B)
        error.backward()
        total += error.item()
    return {"error": total}


def train_numbers(config, number_B) -> Result:
    with Run.open(config.run, config, "numbers") as run:
        scorer = load_scorer(config.model)
        passes = config.passes.over(len(number_B), run)
        learner = Learner.for_run("scorer", scorer, config.learning, passes.steps, run)
        state = {"scorer": Weights(scorer), **learner.parts()}
        with training_loop(run, passes, state, fingerprint(number_B)) as steps:
            for chosen in steps:
                chosen_B = torch.tensor(chosen)
                batch = TOKENS.select(chosen_B)

                def split(budget, chosen_B=chosen_B, batch=batch):
                    return [chosen_B[index_b] for index_b in batch.parts(budget)]

                work, read = partial(squared_errors, scorer, number_B), len(batch.token_S)
                update = partial(learner.update, split, work, "error", read, scorer.learning_flops(read))
                steps.log(steps.run_update(update, numbers=chosen))
        weights = torch.cat([p.detach().flatten() for p in trainable(scorer)])
        return run.finish({"weights": fingerprint(weights), **steps.cost})


TOKENS = Sequences.of([[1, 5]] * 5, [[6], [7, 8], [9], [10, 11, 12], [13]])
NUMBER_B = torch.tensor([0.5, -1.0, 2.0, 0.0, 1.0])


def numbers(model, out, **learning) -> Config:
    learning = Learning(**{"lr": 1e-3, "precision": "float32", **learning})
    return Config(model, learning, run=RunSettings(str(out), save_state_s=0))


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def crash():
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("interrupt", "raised", "left"),
    [(lambda: os.kill(os.getpid(), signal.SIGTERM), Stopped, 4), (crash, KeyboardInterrupt, 3)],
    ids=["signal", "crash"],
)
def test_a_stage_on_the_loop_learns_logs_and_resumes_to_the_bit(
    tiny_model, tmp_path, monkeypatch, interrupt, raised, left
):
    """Interrupted in step 4 of 8: a signal lets it end and be saved. Red when the loop begins anew, loses a step, or
    the optimizer's moments."""
    whole = train_numbers(numbers(tiny_model, tmp_path / "whole"), NUMBER_B)
    expected = rows(whole.folder)
    assert [row["step"] for row in expected] == list(range(1, 9))
    assert {"loss/error", "tokens", "scorer/lr", "scorer/skipped", "rate/tokens_per_s"} <= expected[0].keys()
    assert sum(row["tokens"] for row in expected) == 3 * len(TOKENS.token_S)
    passed = []

    def interrupted(name):
        passed.append(name)
        if len(passed) == 4:
            interrupt()

    config = numbers(tiny_model, tmp_path / "again")
    with monkeypatch.context() as patch, pytest.raises(raised):
        patch.setattr(loop, "seam", interrupted)
        train_numbers(config, NUMBER_B)
    before = rows(tmp_path / "again")
    again = train_numbers(config, NUMBER_B)
    assert again.summary["weights"] == whole.summary["weights"] and again.summary["states_saved"] == 8 - left
    assert rows(again.folder)[:left] == before[:left]  # with their times: they were not made again
    assert [row["loss/error"] for row in rows(again.folder)] == [row["loss/error"] for row in expected]


def test_each_step_is_shown_as_it_is_logged(tiny_model, tmp_path, monkeypatch):
    shown = []

    class Watching(loop.Progress):
        def update(self, step, figures, sample=""):
            shown.append((step, self.total, self.label, figures["loss/error"]))

    monkeypatch.setattr(loop, "Progress", Watching)
    result = train_numbers(numbers(tiny_model, tmp_path / "run"), NUMBER_B)
    assert shown == [(row["step"], 8, "numbers", row["loss/error"]) for row in rows(result.folder)]


def test_a_lack_of_memory_is_told_in_the_run_and_learns_the_same(tiny_model, tmp_path, monkeypatch):
    expected, given, tries = (
        rows(train_numbers(numbers(tiny_model, tmp_path / "a"), NUMBER_B).folder),
        squared_errors,
        [],
    )

    def lacks(*asked):
        tries.append(asked)
        if len(tries) == 3:
            raise torch.OutOfMemoryError("out of memory")
        return given(*asked)

    monkeypatch.setitem(globals(), "squared_errors", lacks)
    result = train_numbers(numbers(tiny_model, tmp_path / "b"), NUMBER_B)
    (told,) = result.summary["warnings"]
    assert told.startswith("out of memory: micro-batches have 2048 tokens from now on") and len(tries) == 9
    losses = [row["loss/error"] for row in expected]
    assert [row["loss/error"] for row in rows(result.folder)] == pytest.approx(losses, rel=1e-4)


def test_a_run_computes_in_the_precision_it_began_with(tiny_model, tmp_path, monkeypatch):
    """Red when a learner is made ready without asking the run: a machine that is busy at a resume changes the bits."""
    monkeypatch.setattr(precision, "NARROWEST", 1)
    monkeypatch.setattr(precision, "bfloat16_gain", lambda width, device: 9.0)
    result = train_numbers(numbers(tiny_model, tmp_path / "run", precision="auto"), NUMBER_B)
    assert json.loads((result.folder / "decisions.json").read_text())["precision"] == "bfloat16"


def test_a_batch_whose_loss_is_no_number_is_known_by_its_examples(tiny_model, tmp_path):
    bad_B = NUMBER_B.index_fill(0, torch.tensor([3]), float("nan"))
    with pytest.raises(Diverged, match="loss/error is nan"):
        train_numbers(numbers(tiny_model, tmp_path / "run"), bad_B)
    (kept,) = (tmp_path / "run" / "quarantine" / "batches.jsonl").read_text().splitlines()
    done = len(rows(tmp_path / "run")) if (tmp_path / "run" / "metrics.jsonl").exists() else 0
    assert 3 in json.loads(kept)["numbers"] and json.loads(kept)["step"] == done + 1
