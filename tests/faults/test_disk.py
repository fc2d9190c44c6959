"""A disk that fills up or turns read-only in mid-run: one line says so, what was saved is whole, and the run goes on.

Broken on purpose: the writer's error dropped -> red; the free space not asked for -> red.
"""

import os
import subprocess
from contextlib import contextmanager

import pytest
from benchmarks.replay import outcome

from truing.runs import checkpoint


@contextmanager
def mounted(*words):
    """`mount …`, where this process may; the last word is the place."""
    told = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    if told.returncode:
        pytest.skip(f"no right to mount here: {told.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(words[-1])], check=True)  # a state that was read is still mapped


def goes_on(stages, truing, folder, out):
    """The same command again, to its end."""
    words = list(map(str, stages["ppo"]))
    words[words.index("--reward") + 1] = "held.py:many_vowels"
    truing(*words, "--out", out)
    return outcome(folder / out)


def test_a_small_disk_that_fills_up_during_a_save(held, stages, uninterrupted, truing, tmp_path):
    (tmp_path / "small").mkdir()
    with mounted("-t", "tmpfs", "-o", "size=16m", "tmpfs", tmp_path / "small"):
        ballast = tmp_path / "small" / "ballast"
        with held(stages["ppo"], "small/run", code=2) as begun:
            free = os.statvfs(ballast.parent)
            ballast.write_bytes(bytes(free.f_bavail * free.f_bsize - 600_000))
        told = begun.stderr
        assert "make room" in told.splitlines()[-1] and "Traceback" not in told
        state, passed_over = checkpoint.newest(tmp_path / "small" / "run" / "state")
        assert state is not None and passed_over == []
        ballast.unlink()
        assert goes_on(stages, truing, tmp_path, "small/run") == uninterrupted("ppo", truing)


def test_no_space_in_the_middle_of_a_file(stages, uninterrupted, truing, tmp_path):
    told = truing(*stages["sft"], "--out", "run", fault="full@save:23", code=2).stderr
    assert "could not be written" in told.splitlines()[-1] and "No space left" in told
    truing(*stages["sft"], "--out", "run")
    assert outcome(tmp_path / "run") == uninterrupted("sft", truing)


def test_a_disk_that_turns_read_only(held, stages, uninterrupted, truing, tmp_path):
    state = tmp_path / "run" / "state"
    with held(stages["ppo"], "run", code=2) as begun:
        mount = mounted("--bind", state, state)
        mount.__enter__()
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", str(state)], check=True)
        except subprocess.CalledProcessError:
            mount.__exit__(None, None, None)
            pytest.skip("no right to make a mount read-only here")
    mount.__exit__(None, None, None)
    told = begun.stderr
    assert "Read-only file system" in told.splitlines()[-1] and "Traceback" not in told
    assert goes_on(stages, truing, tmp_path, "run") == uninterrupted("ppo", truing)
