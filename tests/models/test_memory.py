import subprocess
import sys

import pytest
import torch

from truing.models import memory
from truing.models.memory import MicroBatches

FAULTS = """
import resource, sys, torch
from truing.models.memory import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    raise SystemExit("no glibc")
torch.zeros(2**24), torch.zeros(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(40):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


HEAP = """
from pathlib import Path
from truing.models.memory import keep_freed_memory, peak_bytes
before = peak_bytes()
if not Path("/sys/kernel/mm/transparent_hugepage").exists() or not keep_freed_memory():
    raise SystemExit("nothing to ask")
parts, large, inside = Path("/proc/self/smaps").read_text().splitlines(), 0, False
for line in parts:
    inside = "[heap]" in line if line[0] in "0123456789abcdef" else inside
    large += inside and line.startswith("VmFlags:") and " hg" in line
print(large, peak_bytes() - before)
"""


def faults(mode):
    told = subprocess.run([sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=False)
    if "no glibc" in told.stderr:
        pytest.skip("the allocator here is not glibc's")
    return int(told.stdout)


def test_freed_memory_is_kept_for_the_next_tensor():
    """40 tensors of 64 MiB are 40 times 16,384 pages, if each comes fresh from the system."""
    assert faults("keep") < 0.3 * faults("give back")


def test_the_heap_asks_for_large_pages():
    told = subprocess.run([sys.executable, "-c", HEAP], capture_output=True, text=True, check=False)
    if "nothing to ask" in told.stderr:
        pytest.skip("no large pages that can be asked for here")
    large, grown = map(int, told.stdout.split())
    assert large and grown < 8 * 2**20  # addresses only: none of it is in memory


def test_peak_is_at_least_what_is_held():
    held = bytearray(50 * 2**20)
    assert memory.peak_bytes() >= len(held)


def test_what_is_free_is_the_least_of_machine_and_bound(tmp_path, monkeypatch):
    assert 2**20 < memory.free_bytes() < float("inf")
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 8 kB\n")
    monkeypatch.setattr(memory, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "BOUND", tmp_path)
    assert memory.free_bytes() == 8192
    for name, told in (("max", "6000"), ("current", "5000"), ("stat", "anon 3000\ninactive_file 2000\n")):
        (tmp_path / f"memory.{name}").write_text(told)
    assert memory.free_bytes() == 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes() == 8192
    (tmp_path / "meminfo").unlink()
    assert memory.free_bytes() == float("inf")


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
    micro_batches = MicroBatches(configured)
    micro_batches.allow(1024)
    assert micro_batches.budget_tokens == then


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
