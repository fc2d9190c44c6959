import subprocess
import sys

import pytest

from truing.models import memory

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


def faults(mode):
    told = subprocess.run([sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=False)
    if "no glibc" in told.stderr:
        pytest.skip("the allocator here is not glibc's")
    return int(told.stdout)


def test_freed_memory_is_kept_for_the_next_tensor():
    """40 tensors of 64 MiB are 40 times 16,384 pages, if each comes fresh from the system."""
    assert faults("keep") < 0.3 * faults("give back")


def test_peak_is_at_least_what_is_held():
    held = bytearray(50 * 2**20)
    assert memory.peak_bytes() >= len(held)
