import json

import pytest
import torch
from tests.training.test_policy import config_of, vowels

from truing.training import supervised
from truing.training.policy import train


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
