"""Kill it anywhere, type the same command again: the same bits come out.

Red when broken on purpose: leaving Adam's moments out of what is restored, or the generator of the shuffles, or the
place within an iteration, fails `test_a_killed_run_ends_in_the_same_bits`.
"""

import shutil
import signal
import subprocess
import sys
import time

import pytest
from benchmarks.replay import outcome
from tests.conftest import ENVIRONMENT

from truing.runs import checkpoint


@pytest.mark.parametrize(
    ("stage", "seam"),
    [
        ("pretrain", "update:7"),
        ("sft", "update:5"),
        ("sft", "save:17"),  # as the second state gets its name
        ("sample", "chunk:3"),  # one state at least is whole: the second was begun
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


def test_three_legs_whole_is_resumed_and_is_not_the_weights_alone(stages, uninterrupted, truing, tmp_path):
    """What is saved beside the weights matters: with Adam's moments lost, a run ends elsewhere."""
    command = stages["ppo"]
    truing(*command, "--out", tmp_path / "resumed", fault="kill@minibatch:20", code=-9)
    shutil.copytree(tmp_path / "resumed", tmp_path / "weights")
    state, _ = checkpoint.newest(tmp_path / "weights" / "state")
    for name, tensor in state.tensors.items():
        if "optimizer/" in name and name.endswith(("exp_avg", "exp_avg_sq")):
            tensor.zero_()
    checkpoint.write(tmp_path / "weights" / "state", state)
    for leg in ("resumed", "weights"):
        truing(*command, "--out", tmp_path / leg)
    whole = uninterrupted("ppo", truing)
    assert outcome(tmp_path / "resumed") == whole
    other = outcome(tmp_path / "weights")
    assert {name for name in whole if ".safetensors, " in name and other[name] != whole[name]}


def test_a_second_signal_ends_at_once_and_the_state_before_goes_on(held, stages, uninterrupted, truing, tmp_path):
    """Broken on purpose: the second signal only noted -> red, for the step that holds it never ends."""
    with held(stages["ppo"], "run", code=143) as begun:
        begun.send_signal(signal.SIGTERM)
        while "SIGTERM" not in begun.stderr:
            time.sleep(0.02)
        assert not begun.has_ended()
        begun.send_signal(signal.SIGTERM)
        begun.wait()
    told = begun.stderr
    assert "once more stops at once" in told and "Traceback" not in told and "stopped after" not in told
    words = list(map(str, stages["ppo"]))
    words[words.index("--reward") + 1] = "held.py:many_vowels"
    truing(*words, "--out", "run")
    assert outcome(tmp_path / "run") == uninterrupted("ppo", truing)


CLOCK = """
import time
from truing.runs import resume
real, later = resume.Keeper.passed, time.time
def passed(self, step):
    if step == 1:
        time.time = lambda: later() - 86400
    return real(self, step)
resume.Keeper.passed = passed
"""


def test_the_clock_set_back_a_day_in_mid_run_changes_nothing(stages, uninterrupted, truing, tmp_path):
    truing(*stages["ppo"], "--out", "run", first=CLOCK)
    assert outcome(tmp_path / "run") == uninterrupted("ppo", truing)


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
    """The second in a Python of its own, whose sets have another order: those that are forked share theirs."""
    words = [sys.executable, "-m", "truing", *map(str, stages["ppo"]), "--out", str(tmp_path / "again")]
    subprocess.run(words, env=ENVIRONMENT, capture_output=True, check=True)
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
