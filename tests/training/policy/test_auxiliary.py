import json

import pytest
import torch
from tests.training.policy.test_stage import config_of, vowels

from truing.models.memory import MicroBatches
from truing.runs.checkpoint import State
from truing.runs.run import Run
from truing.training import supervised
from truing.training.policy.auxiliary import auxiliary_loss
from truing.training.policy.learners import Learners
from truing.training.policy.stage import train

pytestmark = pytest.mark.usefixtures("metrics_are_documented")


def rows_with_the_term(model, folder, **more):
    """What each iteration logs."""
    demos = folder / "demos.jsonl"
    demos.write_text("\n".join(json.dumps({"prompt": f"Number {i}?", "completion": "zzz"}) for i in range(12)))
    train(config_of(model, folder, pretrain_data=(str(demos),), pretrain_weight=1.0, **more), vowels)
    return [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]


def test_pretraining_term_keeps_demonstrations_likely(tiny_model, tmp_path):
    rows = rows_with_the_term(tiny_model, tmp_path, iterations=3)
    assert rows[-1]["loss/pretrain"] < rows[0]["loss/pretrain"]


def test_where_the_term_runs_out_of_memory_its_update_is_made_again_with_the_same_demonstrations(
    tiny_model, tmp_path, monkeypatch, capsys
):
    """Red when the term counts a batch that was not learned from, or the policy's gradients of the failed try stay."""
    given, losses = supervised.gradients, []
    for lacks in (False, True):
        calls = []

        def gradients(policy, micro_batches, lacks=lacks, calls=calls):
            calls.append(len(micro_batches))
            if lacks and len(calls) == 2:
                raise torch.OutOfMemoryError("out of memory")
            return given(policy, micro_batches)

        monkeypatch.setattr(supervised, "gradients", gradients)
        folder = tmp_path / f"lacks {lacks}"
        folder.mkdir()
        rows = rows_with_the_term(tiny_model, folder, iterations=2)
        losses.append([row[name] for row in rows for name in ("loss/pretrain", "loss/policy")])
    assert "micro-batches have 2048 tokens from now on" in capsys.readouterr().err
    assert losses[1] == pytest.approx(losses[0], rel=1e-4, abs=1e-6)


def test_it_goes_on_with_the_demonstrations_that_are_next(tiny_model, policy, chat, tmp_path):
    """Red when the place is lost: a resumed run would learn from the first ones again."""
    demos = tmp_path / "demos.jsonl"
    demos.write_text("\n".join(json.dumps({"prompt": f"Number {i}?", "completion": "z" * i}) for i in range(1, 9)))
    given = {"pretrain_data": (str(demos),), "pretrain_weight": 1.0, "pretrain_batch": 2}
    config = config_of(tiny_model, tmp_path, **given)
    learners = Learners(policy, None, None, None, None, MicroBatches(4096))
    with Run.open(config.run, config, "rl") as run:
        whole, other = (auxiliary_loss(learners, config, chat, run) for _ in range(2))
        assert auxiliary_loss(learners, config_of(tiny_model, tmp_path), chat, run) is None
    losses = [whole() for _ in range(3)]
    whole.restore(State({}, {"done": 2}))
    other.restore(whole.capture())
    assert other() == losses[2] != losses[0]
