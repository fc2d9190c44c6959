"""Learning that goes wrong, in whole commands: a gradient that leaps or is none, memory that runs out.

Broken on purpose: norms left out of the saved state -> the spike moves the weights after a resume, red; gradients of
the try that lacked memory kept -> red.
"""

import json

import safetensors.torch
import torch
from benchmarks.replay import outcome

GRADIENT = """
from truing.training import optimize
real, broken = optimize.Optimizer.step, []
def step(self, *loss):
    if self.done == {update} and not broken:
        broken.append(1)
        for p in self.parameters:
            if p.grad is not None:
                p.grad.mul_({factor})
    return real(self, *loss)
optimize.Optimizer.step = step
"""


def figures(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_spike_is_skipped_and_after_a_resume_too(stages, truing, tmp_path):
    command = [*stages["sft"], "--batch-size", "1", "--epochs", "4.5", "--evaluate-every", "1000"]
    spike = GRADIENT.format(update=134, factor=100)
    truing(*command, "--out", "run", first=spike)
    (tmp_path / "run").rename(tmp_path / "whole")  # a warning names the folder
    skipped = [row["step"] for row in figures(tmp_path / "whole") if row["policy/skipped"]]
    assert skipped
    truing(*command, "--out", "run", first=spike, fault="kill@update:131", code=-9)
    truing(*command, "--out", "run", first=spike)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
    largest = max(figures(tmp_path / "whole"), key=lambda row: row["policy/grad_norm"])
    assert largest["step"] in skipped and (tmp_path / "whole" / "quarantine" / "batches.jsonl").exists()


def test_nan_in_one_gradient_moves_nothing_and_is_told(stages, truing, tmp_path):
    told = truing(*stages["ppo"], "--out", "run", first=GRADIENT.format(update=3, factor="float('nan')"))
    assert "quarantine" in told.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert any("quarantine" in line for line in summary["warnings"])
    (kept,) = (tmp_path / "run" / "quarantine" / "batches.jsonl").read_text().splitlines()
    assert json.loads(kept)["step"] == 1 and json.loads(kept)["responses"]
    for path in (tmp_path / "run").glob("*/model.safetensors"):
        assert all(t.isfinite().all() for t in safetensors.torch.load_file(path).values())


LACKS = """
import torch
from truing.models.roles import Policy
whole = Policy.forward
def forward(self, tokens, *more):
    if torch.is_grad_enabled() and len(tokens.token_S) > 70:
        raise torch.OutOfMemoryError("CUDA out of memory")
    return whole(self, tokens, *more)
Policy.forward = forward
"""


def test_out_of_memory_at_large_microbatches_equals_small_ones(stages, truing, tmp_path):
    """While learning, and while the tug of war is measured."""
    exact = ("--learning.precision", "float32")
    told = truing(*stages["grpo"], *exact, "--learning.budget-tokens", "128", "--out", "lacked", first=LACKS)
    assert "out of memory: micro-batches have 64 tokens" in told.stderr
    truing(*stages["grpo"], *exact, "--learning.budget-tokens", "64", "--out", "small")
    one, other = (
        safetensors.torch.load_file(tmp_path / run / "model" / "model.safetensors") for run in ("lacked", "small")
    )
    for name, weight in one.items():
        torch.testing.assert_close(weight, other[name], rtol=0, atol=1e-6)
