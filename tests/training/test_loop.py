"""The loop of all stages, and a stage of a few lines on it: it learns, resumes, and says what went wrong."""

import json
from dataclasses import dataclass
from functools import partial

import pytest
import torch

from truing.data.batches import Sequences
from truing.errors import Diverged
from truing.models.loading import load_policy, load_scorer
from truing.models.roles import trainable
from truing.settings import Flat, RunSettings
from truing.training import loop, supervised
from truing.training.checkpoint import State
from truing.training.keeper import Weights, fingerprint
from truing.training.loop import Learner, MicroBatches, PassSettings, Update, training_loop, watched
from truing.training.optimize import Learning, Moved
from truing.training.run import Result, Run

TOKENS = Sequences.of([[1, 5]] * 6, [[6 + i, 17, 18, 19] for i in range(6)])


def lacking_above(tokens, calls):
    """Work that has memory for so many tokens."""

    def work(budget):
        calls.append(budget)
        if budget > tokens:
            raise torch.OutOfMemoryError("out of memory")
        return f"done by {budget}"

    return work


def test_where_memory_runs_out_it_is_done_in_halves_which_are_remembered():
    calls, warned, undone = [], [], []
    micro_batches = MicroBatches(4096, warned.append)
    work = lacking_above(1500, calls)
    assert micro_batches.run(lambda budget: budget, work, lambda: undone.append(len(calls))) == "done by 1024"
    assert micro_batches.run(lambda budget: budget, work, lambda: undone.append(len(calls))) == "done by 1024"
    assert calls == [4096, 2048, 1024, 1024] and undone == [1, 2]
    assert [line for line in warned if "1024 tokens from now on" in line] == warned[1:] and len(warned) == 2


@pytest.mark.parametrize(("configured", "then"), [(4096, 1024), (512, 512)])
def test_a_resumed_run_allows_what_memory_allowed_and_never_more_than_configured(configured, then):
    before, after = MicroBatches(1024), MicroBatches(configured)
    after.restore(before.capture())
    assert after.budget_tokens == then


def test_work_that_memory_has_no_room_for_at_all_is_refused():
    calls = []
    with pytest.raises(torch.OutOfMemoryError):
        MicroBatches(40, str).run(lambda budget: budget, lacking_above(1, calls))
    assert calls == [40, 20, 10]


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("shapes do not fit"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_only_a_lack_of_memory_is_tried_again(error, again):
    tries = []

    def work(budget):
        tries.append(budget)
        if len(tries) == 1:
            raise error
        return "done"

    micro_batches = MicroBatches(64, str)
    if again:
        assert micro_batches.run(lambda budget: budget, work) == "done" and tries == [64, 32]
    else:
        with pytest.raises(type(error)):
            micro_batches.run(lambda budget: budget, work)
        assert tries == [64]


def test_out_of_memory_learns_the_same(tiny_model):
    """Red when the gradients of the failed try are kept."""
    weights = []
    for budget, lacks in ((48, True), (12, False)):
        policy = load_policy(tiny_model)
        # With a large epsilon Adam keeps the gradient's size.
        learning = Learning(lr=1.0, adam_eps=10.0, max_grad_norm=0, budget_tokens=budget)
        learner = Learner.of("policy", policy, learning, 9, str)
        given, sizes = policy.logprobs, []

        def logprobs(part, *more, lacks=lacks, given=given, sizes=sizes):
            sizes.append(len(part.token_S))
            # 36 tokens: too many at once; then 24 fit and the 12 after them do not; then three times 12 do.
            if lacks and (sizes[-1] > 24 or sizes == [36, 24, 12]):
                raise torch.OutOfMemoryError("out of memory")
            return given(part, *more)

        policy.logprobs = logprobs
        supervised.step(learner, TOKENS)
        assert learner.micro_batches.budget_tokens == 12 and sizes[-3:] == [12, 12, 12]
        weights.append(torch.cat([p.detach().flatten() for p in trainable(policy)]))
    torch.testing.assert_close(*weights, rtol=0, atol=1e-6)


def test_an_update_is_skipped_where_one_network_is_and_tells_all_by_metric():
    still, moved = Moved(1e-3, float("inf"), skipped=True), Moved(1e-4, 2.0, skipped=False)
    update = Update({"loss/policy": 0.5}, {"policy": moved, "critic": still})
    assert update.skipped and not Update({}, {"policy": moved}).skipped
    assert update.figures == {
        "loss/policy": 0.5, "policy/lr": 1e-4, "policy/grad_norm": 2.0, "policy/skipped": 0.0, "critic/lr": 1e-3,
        "critic/grad_norm": float("inf"), "critic/skipped": 1.0,
    }  # fmt: skip


def test_a_batch_that_ends_the_run_or_moves_nothing_is_kept():
    kept = []

    def diverges():
        raise Diverged("loss is nan")

    with pytest.raises(Diverged):
        watched(diverges, lambda: kept.append("diverged"))
    for skipped in (False, True):
        update = Update({}, {"critic": Moved(1.0, 1.0, skipped)})
        assert watched(lambda update=update: update, lambda: kept.append("skipped")) is update
    assert kept == ["diverged", "skipped"]


@pytest.mark.parametrize(("epochs", "steps", "warns"), [(1.0, 2, False), (2.5, 5, False), (0.1, 1, False)])
def test_passes_read_every_example_and_the_last_step_what_is_left(tmp_path, epochs, steps, warns):
    with Run(RunSettings(str(tmp_path / "run")), Learning(), "sft", continues=False) as run:
        passes = PassSettings(epochs, 4).over(7, run)
        assert (passes.steps, passes.rows) == (steps, max(1, round(epochs * 7))) and bool(run.warnings) == warns
        PassSettings(3.0, 8).over(7, run)
        assert run.warnings == ["batch_size = 8 takes more than all 7 rows at a time: 3 updates in all"]


# A stage of its own: a network learns to give each response the number that stands beside it.


@dataclass(frozen=True)
class Config:
    model: str
    learning: Learning
    passes: Flat[PassSettings] = PassSettings(3.0, batch_size=2)
    run: Flat[RunSettings] = RunSettings("runs/numbers")


def squared_errors(scorer, number_B, batch):
    total = 0.0
    for index_B in batch:
        error = ((scorer(TOKENS_OF_NUMBERS.select(index_B)) - number_B[index_B]) ** 2).sum() / len(number_B)
        error.backward()
        total += error.item()
    return {"loss/error": total}


def train_numbers(config, number_B) -> Result:
    with Run.open(config.run, config, "numbers") as run:
        scorer = load_scorer(config.model)
        passes = config.passes.over(len(number_B), run)
        learner = Learner.of_run("scorer", scorer, config.learning, passes.steps, run)
        state = {"scorer": Weights(scorer), **learner.parts()}
        with training_loop(run, passes, state, fingerprint(number_B)) as steps:
            for chosen in steps:
                chosen_B = torch.tensor(chosen)

                def split(budget, chosen_B=chosen_B):
                    return [chosen_B[i] for i in TOKENS_OF_NUMBERS.select(chosen_B).parts(budget)]

                read = len(TOKENS_OF_NUMBERS.select(chosen_B).token_S)
                work = partial(squared_errors, scorer, number_B)
                update = partial(learner.update, split, work, read, scorer.learning_flops(read))
                steps.finish(steps.update(update, numbers=chosen))
        weights = torch.cat([p.detach().flatten() for p in trainable(scorer)])
        return run.finish({"weights": weights.sum().item(), **steps.keeper.cost})


TOKENS_OF_NUMBERS = Sequences.of([[1, 5]] * 5, [[6], [7, 8], [9], [10, 11, 12], [13]])
NUMBER_B = torch.tensor([0.5, -1.0, 2.0, 0.0, 1.0])


def numbers(model, out, **learning) -> Config:
    learning = Learning(**{"lr": 1e-3, "precision": "float32", **learning})
    return Config(model, learning, run=RunSettings(str(out), save_state_s=0))


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_stage_on_the_loop_learns_logs_and_resumes_to_the_bit(tiny_model, tmp_path, monkeypatch):
    """Interrupted after step 3 of 8. Red when the loop begins anew, loses a step, or the optimizer's moments."""
    whole = train_numbers(numbers(tiny_model, tmp_path / "whole"), NUMBER_B)
    figures = rows(whole.folder)
    assert [row["step"] for row in figures] == list(range(1, 9))
    assert {"loss/error", "tokens", "scorer/lr", "scorer/skipped", "rate/tokens_per_s"} <= figures[0].keys()
    assert sum(row["tokens"] for row in figures) == 3 * len(TOKENS_OF_NUMBERS.token_S)
    passed = []

    def interrupted(name):
        passed.append(name)
        if len(passed) == 4:
            raise KeyboardInterrupt

    config = numbers(tiny_model, tmp_path / "again")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "seam", interrupted)
        train_numbers(config, NUMBER_B)
    before = rows(tmp_path / "again")
    again = train_numbers(config, NUMBER_B)
    assert again.summary["weights"] == whole.summary["weights"]
    assert rows(again.folder)[:3] == before[:3]  # with their times: they were not made again
    assert [row["loss/error"] for row in rows(again.folder)] == [row["loss/error"] for row in figures]


def test_a_batch_whose_loss_is_no_number_is_known_by_its_examples(tiny_model, tmp_path):
    bad_B = NUMBER_B.index_fill(0, torch.tensor([3]), float("nan"))
    with pytest.raises(Diverged, match="loss/error is nan"):
        train_numbers(numbers(tiny_model, tmp_path / "run"), bad_B)
    (kept,) = (tmp_path / "run" / "quarantine" / "batches.jsonl").read_text().splitlines()
    assert 3 in json.loads(kept)["numbers"] and json.loads(kept)["step"] == len(rows(tmp_path / "run")) + 1


def test_held_out_figures_survive_a_lack_of_memory_too(tiny_model):
    policy, warned = load_policy(tiny_model), []
    expected = supervised.held_out_loss(policy, TOKENS, MicroBatches(4096))
    given = policy.logprobs

    def logprobs(part, *more):
        if len(part.token_S) > 24:
            raise torch.OutOfMemoryError("out of memory")
        return given(part, *more)

    policy.logprobs = logprobs
    micro_batches = MicroBatches(48, warned.append)
    assert supervised.held_out_loss(policy, TOKENS, micro_batches) == pytest.approx(expected, rel=1e-6)
    assert micro_batches.capture() == State({}, {"budget": 24}) and len(warned) == 1
