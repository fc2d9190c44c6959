"""How memory is asked of the system: large blocks are kept for the next tensor instead of being given back."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

# glibc's <malloc.h>; 2**31 - 1 is the most that mallopt's int can say.
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
MEMORY, BOUND = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
SPARE_BYTES = 64 * 2**20


def keep_freed_memory() -> bool:
    """Tell glibc to keep what tensors free. Else every large tensor is new pages, which the kernel must clear first:
    with a large vocabulary half the time goes there. False where the allocator is another one.

    For commands, which own their process; a library must not decide this for the program it is part of.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = ((MMAP_MAX, 0), (TRIM_THRESHOLD, 2**31 - 1), (TOP_PAD, SPARE_BYTES))
    return all([libc.mallopt(what, value) == 1 for what, value in settings])


def peak_bytes() -> int:
    """The most memory that this process ever held, in bytes (Linux: VmHWM); 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def free_bytes() -> float:
    """Memory that can still be had, in bytes, of the machine or of the group of processes this one is bounded by;
    infinite where the system does not tell."""
    found = []
    try:
        lines = MEMORY.read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
        most = (BOUND / "memory.max").read_text().strip()
        if most != "max":
            held = dict(line.split() for line in (BOUND / "memory.stat").read_text().splitlines())
            used = int((BOUND / "memory.current").read_text()) - int(held.get("inactive_file", 0))
            found.append(int(most) - used)
    except (OSError, ValueError):
        pass
    return min(found, default=float("inf"))
