"""Real commands, broken off on purpose."""

import time
from contextlib import contextmanager

import pytest
from benchmarks.replay import outcome, write_inputs
from tests.conftest import ENVIRONMENT


def command_of(argv, fault=None):
    """Words and surroundings of `truing …`; `fault` is where and how it breaks."""
    return list(map(str, argv)), {**ENVIRONMENT, **({"TRUING_FAULT": fault} if fault else {})}


@pytest.fixture
def truing(tmp_path, forked):
    """Run `truing …` in its own process. `first` is Python that runs before, to break what no seam can."""

    def run(*argv, fault=None, code=0, first=""):
        told = forked(*command_of(argv, fault), tmp_path, first=first)
        assert told.returncode == code, (told.returncode, told.stderr[-2000:])
        assert code < 0 or "Traceback" not in told.stderr
        return told

    return run


@pytest.fixture
def held(tmp_path, files, forked):
    """A policy optimisation that waits in its second iteration, while it judges, until it is told to go on."""
    (tmp_path / "held.py").write_text(HELD)

    @contextmanager
    def begin(command, out, code):
        words = list(map(str, command))
        words[words.index("--reward") + 1] = "held.py:many_vowels"
        for name in ("hold", "holding"):
            (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / "hold").touch()
        begun = forked.begin(*command_of([*words, "--out", out]), tmp_path)
        try:
            while not (tmp_path / "holding").exists():
                assert not begun.has_ended(), begun.stderr
                time.sleep(0.02)
            yield begun
            (tmp_path / "hold").unlink()
            begun.wait()
            assert begun.returncode == code, begun.stderr
        finally:
            begun.kill()

    return begin


HELD = """
import os, time

calls = 0

def many_vowels(prompt, response):
    global calls
    calls += 1
    if calls == 16:
        open("holding", "w").close()
        while os.path.exists("hold"):
            time.sleep(0.02)
    return sum(c in "aeiou" for c in response) / 10
"""


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Small data for every stage."""
    folder = tmp_path_factory.mktemp("data")
    write_inputs(folder)
    return folder


@pytest.fixture(scope="session")
def stages(files, tiny_model):
    """The command of each stage, but for its folder."""
    common = ("--model", tiny_model, "--save-state-s", "0", "--seed", "3")
    rl = ("rl", *common, "--data", files / "prompts.jsonl", "--reward", f"{files}/reward.py:many_vowels",
          "--iterations", "3", "--prompts-per-iteration", "8", "--sampling.max-new-tokens", "8",
          "--learning.lr", "1e-3")  # fmt: skip
    return {
        "sft": ("sft", *common, "--data", files / "demonstrations.jsonl", "--epochs", "2", "--batch-size", "8",
                "--evaluate-every", "2"),
        "reward": ("reward", *common, "--data", files / "comparisons.jsonl", "--epochs", "2", "--batch-size", "8"),
        "sample": ("sample", *common, "--data", files / "few_prompts.jsonl", "--answers", "64",
                   "--sampling.max-new-tokens", "4"),
        "pretrain": ("pretrain", "--data", files / "texts.jsonl", "--vocabulary", "300", "--width", "32",
                     "--layers", "1", "--heads", "2", "--context", "16", "--batch-size", "4", "--save-state-s", "0",
                     "--learning.lr", "1e-3"),
        "ppo": (*rl, "--critic-from", "policy", "--scale-rewards", "--kl-target", "2"),
        "grpo": (*rl, "--algorithm", "grpo", "--override", "answers", "4"),
    }  # fmt: skip


@pytest.fixture(scope="session")
def uninterrupted(stages, tmp_path_factory):
    """What comes out of a stage when nothing happens, computed once."""
    known = {}

    def of(stage, truing):
        if stage not in known:
            out = tmp_path_factory.mktemp(stage) / "whole"
            truing(*stages[stage], "--out", out)
            known[stage] = outcome(out)
        return known[stage]

    return of
