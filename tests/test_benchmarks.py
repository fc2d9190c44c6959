"""Each benchmark's own side runs and measures, on a tiny model and less work: what it measures stands in docs/.

Broken on purpose: a scorer made without our attention known to transformers -> red.
"""

import pytest
import torch
from benchmarks import attention, coverage, generation, grpo, labelling, ppo, reward_model, sft, work
from torch.nn import functional

LEARNING = work.learning(work.arguments("").parse_args(["--precision", "float32"]))


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """A size that takes no time, and a hundredth of the work."""
    monkeypatch.setitem(work.SIZES, "tiny", work.Size(32, 48, 2, 4, 300))
    for module in (sft, reward_model):
        monkeypatch.setattr(module, "BATCH", 4)
        monkeypatch.setattr(module, "STEPS", 2)
    monkeypatch.setattr(grpo, "PROMPTS", 2)
    for module in (ppo, grpo):
        monkeypatch.setattr(module, "RESPONSE", 4)
    few = {mixed: generation.prompts("tiny", mixed)[:4] for mixed in (False, True)}
    monkeypatch.setattr(generation, "prompts", lambda size, mixed: few[mixed])
    monkeypatch.setattr(generation, "MOST_NEW", {False: 4, True: 6})


@pytest.mark.parametrize(("module", "timed"), [(sft, 1), (reward_model, 2)], ids=["sft", "reward_model"])
def test_updates_take_time(module, timed):
    seconds = module.updates("tiny", LEARNING)  # of SFT's the first is left out, as of the peer's
    assert len(seconds) == timed and all(s > 0 for s in seconds)


@pytest.mark.parametrize("critic", ["separate", "trunk"])
def test_ppo(critic):
    told = ppo.iterations("tiny", LEARNING, critic, 0.1, 2, 8)
    assert len(told) == 2 and all(t["seconds"] >= t["time/learn_s"] > 0 for t in told)


def test_grpo():
    assert len(grpo.iterations("tiny", LEARNING, 2)) == 2


@pytest.mark.parametrize("mixed", [False, True])
def test_generation(mixed):
    seconds, said = generation.ours("tiny", mixed, "float32", 1)
    assert len(seconds) == 1 and (4 <= said <= 24 if mixed else said == 16)


@pytest.mark.parametrize("table", coverage.TABLES)
def test_coverage_has_a_cell_for_each_column_and_repeats_itself(table):
    head, rows = coverage.TABLES[table]
    first = [*rows(2, 1)]
    assert first == [*rows(2, 1)] and {len(row) for row in first} == {len(head)}


def test_labelling(tmp_path):
    told = labelling.measure(tmp_path / "feedback.db", count=4, seconds=5, tasks=1500)
    assert told["labels"] > 0 and told["lost"] == told["double"] == 0


@pytest.mark.parametrize("learns", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_times_both_kernels(dtype, learns, monkeypatch):
    """Broken on purpose: with AMX the limits alone set -> red, the fused kernel was timed for both."""
    called, kernel = [], functional.scaled_dot_product_attention
    monkeypatch.setattr(attention.attention, "has_amx", lambda: True)
    monkeypatch.setattr(attention.attention, "longest_explicit", None)  # puts it back when the test is over
    monkeypatch.setattr(functional, "scaled_dot_product_attention", lambda *a, **k: called.append(1) or kernel(*a, **k))
    medians = attention.compared(4, 8, dtype, learns, 1).split()[:2]
    assert all(float(median) > 0 for median in medians)
    assert len(called) == 2  # of four calls, two of each kind
