"""How memory is asked of the system: large blocks are kept for the next tensor instead of being given back."""

from __future__ import annotations

import ctypes
import mmap
import platform
from pathlib import Path

# glibc's <malloc.h>; 2**31 - 1 is the most that mallopt's int can say.
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
MEMORY, BOUND = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
SPARE_BYTES = 64 * 2**20
HUGEPAGE, HEAP_BYTES = 14, 7 * 2**28  # Linux' <mman.h>; below what glibc would give back


def keep_freed_memory() -> bool:
    """Tell glibc to keep what tensors free. Else every large tensor is new pages, which the kernel must clear first:
    with a large vocabulary half the time goes there. False where the allocator is another one.

    For commands, which own their process; a library must not decide this for the program it is part of.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = ((MMAP_MAX, 0), (TRIM_THRESHOLD, 2**31 - 1), (TOP_PAD, SPARE_BYTES))
    kept = all([libc.mallopt(what, value) == 1 for what, value in settings])
    _ask_for_large_pages(libc)
    return kept


def _ask_for_large_pages(libc: ctypes.CDLL) -> None:
    """Let the heap grow once, and ask for large pages there: a processor finds its way among few of them faster.

    Only addresses are taken, memory as it is written to. Where the system grants neither, nothing changes.
    """
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    start = libc.malloc(HEAP_BYTES)
    if start:
        page = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        libc.madvise(ctypes.c_void_p(page), ctypes.c_size_t(start + HEAP_BYTES - page), HUGEPAGE)
        libc.free(start)


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
