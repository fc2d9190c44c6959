"""Written whole or not at all, wherever the process dies; read only where every byte is right."""

import errno
import os
import shutil
import signal
import subprocess

import pytest
import torch

from truing.errors import UserError
from truing.runs import checkpoint
from truing.runs.checkpoint import State


def state(number):
    return State({"a/w": torch.full((3, 5), float(number)), "b/i": torch.arange(number + 2)}, {"step": number})


def killed_at(home, number, seam):
    """Write a state in a child that is killed at this passing of the seam. True if it lived to the end."""
    child = os.fork()
    if child == 0:
        os.environ["TRUING_FAULT"] = f"kill@save:{seam}"
        checkpoint.write(home, state(number))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFEXITED(status) or os.WTERMSIG(status) == signal.SIGKILL
    return os.WIFEXITED(status)


def test_killed_at_any_write_flush_or_rename_a_whole_state_is_left(tmp_path):
    """Red when the folder gets its name before the manifest is written, or older states go first."""
    ends = []
    for seam in range(1, 40):
        home = tmp_path / str(seam)
        for number in (1, 2):
            checkpoint.write(home, state(number))
        ended = killed_at(home, 3, seam)
        found, passed_over = checkpoint.newest(home)
        assert found is not None and passed_over == []
        number = found.facts["step"]
        assert torch.equal(found.tensors["a/w"], state(number).tensors["a/w"])
        ends.append(number)
        if ended:
            break
    assert ended and set(ends) == {2, 3} and ends == sorted(ends) and len(ends) > 8
    checkpoint.write(home, state(4))
    assert len(list(home.iterdir())) == checkpoint.KEPT


@pytest.mark.parametrize("name", [checkpoint.TENSORS, checkpoint.FACTS, checkpoint.MANIFEST])
def test_one_flipped_byte_is_seen_and_the_state_before_is_taken(tmp_path, name):
    """Red when hashes are not compared."""
    for number in (1, 2):
        checkpoint.write(tmp_path, state(number))
    path = checkpoint.saved(tmp_path)[0] / name
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    found, passed_over = checkpoint.newest(tmp_path)
    assert found.facts["step"] == 1
    assert len(passed_over) == 1 and str(path.parent) in passed_over[0]


def test_a_cut_file_is_seen(tmp_path):
    checkpoint.write(tmp_path, state(1))
    path = checkpoint.saved(tmp_path)[0] / checkpoint.TENSORS
    path.write_bytes(path.read_bytes()[:-4])
    found, passed_over = checkpoint.newest(tmp_path)
    assert found is None and "bytes" in passed_over[0]


def test_too_little_space_is_told_before_anything_is_written(tmp_path, monkeypatch):
    checkpoint.write(tmp_path, state(1))
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(UserError, match="make room"):
        checkpoint.write(tmp_path, state(2))
    assert checkpoint.newest(tmp_path)[0].facts["step"] == 1 and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("seam", [2, 4, 6])
def test_a_disk_that_fills_up_in_the_middle_leaves_the_state_before(tmp_path, monkeypatch, seam):
    from truing import fault_points

    checkpoint.write(tmp_path, state(1))
    fault_points._passed.clear()
    monkeypatch.setenv("TRUING_FAULT", f"full@save:{seam}")
    with pytest.raises(OSError) as failed:
        checkpoint.write(tmp_path, state(2))
    assert failed.value.errno == errno.ENOSPC
    assert checkpoint.newest(tmp_path)[0].facts["step"] == 1 and len(list(tmp_path.iterdir())) == 1


def test_a_small_file_system_that_is_truly_full(tmp_path):
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount a small file system here")
    try:
        small = State({"w": torch.zeros(2**17)}, {"step": 1})
        checkpoint.write(tmp_path / "state", small)
        with pytest.raises(UserError, match="make room"):
            checkpoint.write(tmp_path / "state", State({"w": torch.zeros(2**20)}, {"step": 2}))
        assert checkpoint.newest(tmp_path / "state")[0].facts["step"] == 1
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_frozen_state_stays_as_it_was():
    """Broken on purpose: tensors or lists shared with the training -> red."""
    weight, facts = torch.arange(6.0).view(2, 3).t(), {"norms": [1.0], "figures": {"a": float("nan")}}
    kept = checkpoint.frozen(State({"w": weight}, facts))
    weight.zero_()
    facts["norms"].append(2.0)
    facts["figures"]["b"] = 1
    assert kept.tensors["w"].tolist() == [[0, 3], [1, 4], [2, 5]] and kept.tensors["w"].is_contiguous()
    assert kept.facts["norms"] == [1.0] and list(kept.facts["figures"]) == ["a"]
    assert checkpoint.size(kept) == 24
