"""Kill it anywhere, type the same command again: the same bits come out.

Red when broken on purpose: leaving Adam's moments out of what is restored, or the generator of the shuffles, or the
place within an iteration, fails `test_a_killed_run_ends_in_the_same_bits`.
"""

import pytest
from tests.faults.conftest import outcome


@pytest.fixture(scope="module")
def uninterrupted(stages, tmp_path_factory):
    """What comes out when nothing happens, computed once a stage."""
    known = {}

    def of(stage, truing):
        if stage not in known:
            out = tmp_path_factory.mktemp(stage) / "whole"
            truing(*stages[stage], "--out", out)
            known[stage] = outcome(out)
        return known[stage]

    return of


@pytest.mark.parametrize(
    ("stage", "seam"),
    [
        ("pretrain", "update:7"),
        ("sft", "update:5"),
        ("sample", "chunk:6"),
        ("reward", "update:4"),
        ("ppo", "token:20"),  # while the second iteration speaks
        ("ppo", "minibatch:23"),  # second iteration, epoch 2 of 4, minibatch 3
        ("grpo", "minibatch:6"),
    ],
)
def test_a_killed_run_ends_in_the_same_bits(stage, seam, stages, uninterrupted, truing, tmp_path):
    out = tmp_path / "run"
    truing(*stages[stage], "--out", out, fault=f"kill@{seam}", code=-9)
    assert not (out / "summary.json").exists()
    told = truing(*stages[stage], "--out", out)
    assert "goes on after step" in told.stderr
    assert outcome(out) == uninterrupted(stage, truing)


def test_told_to_stop_a_run_saves_and_says_how_to_go_on(stages, uninterrupted, truing, tmp_path):
    out = tmp_path / "run"
    command = [*stages["ppo"], "--out", out]
    command[command.index("--save-state-s") + 1] = "-1"  # nothing is saved but what the signal asks for
    told = truing(*command, fault="term@minibatch:22", code=143)
    assert "SIGTERM" in told.stderr and "the same command goes on" in told.stderr
    told = truing(*command, fault="interrupt@minibatch:5", code=130)
    truing(*command)
    assert outcome(out) == uninterrupted("ppo", truing)


def test_the_same_run_twice_gives_the_same_figures(stages, uninterrupted, truing, tmp_path):
    truing(*stages["ppo"], "--out", tmp_path / "again")
    assert outcome(tmp_path / "again") == uninterrupted("ppo", truing)


def test_a_run_does_not_go_on_with_other_settings_or_other_data(stages, truing, tmp_path, files):
    out, command = tmp_path / "run", list(stages["sft"])
    data = tmp_path / "mine.jsonl"
    data.write_text((files / "demonstrations.jsonl").read_text())
    command[command.index("--data") + 1] = data
    truing(*command, "--out", out, fault="kill@update:4", code=-9)
    told = truing(*command, "--out", out, "--learning.lr", "0.5", code=2)
    assert "learning" in told.stderr and "--fresh" in told.stderr
    data.write_text(data.read_text().replace("cat", "dog"))
    told = truing(*command, "--out", out, code=2)
    assert "fingerprint" in told.stderr and "then" in told.stderr and "now" in told.stderr
    truing(*command, "--out", out, "--fresh")
    assert (out / "summary.json").exists() and not (out / "state").exists()
    told = truing(*command, "--out", out, code=2)
    assert "finished run" in told.stderr


def test_a_second_trainer_in_the_same_folder_is_refused(stages, truing, tmp_path):
    import fcntl

    out = tmp_path / "run"
    truing(*stages["sft"], "--out", out, fault="kill@update:2", code=-9)
    with (out / ".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        told = truing(*stages["sft"], "--out", out, code=75)
    assert "another process works in this folder" in told.stderr
