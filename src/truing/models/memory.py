"""Memory: large blocks are kept for the next tensor, and what does not fit is computed in smaller micro-batches."""

from __future__ import annotations

import ctypes
import mmap
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

# glibc's <malloc.h>; 2**31 - 1 is the most that mallopt's int can say.
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
MEMORY, BOUND = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
SPARE_BYTES = 64 * 2**20
HUGEPAGE, HEAP_BYTES = 14, 7 * 2**28  # Linux' <mman.h>; below what glibc would give back
LACKS = ("out of memory", "can't allocate memory")  # what torch's allocators say
SMALLEST_BUDGET = 16  # tokens of a micro-batch: where these have no room, nothing has
Split = TypeVar("Split")
Outcome = TypeVar("Outcome")


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


def on_stderr(line: str) -> None:
    """Tell the person."""
    print(line, file=sys.stderr, flush=True)


@dataclass
class MicroBatches:
    """Cuts what is computed together into micro-batches that memory holds, and remembers how large these may be.

    Results do not depend on it, but for rounding: a token's weight in a mean is given before its micro-batch is.
    """

    budget_tokens: int  # most tokens of one
    warn: Callable[[str], None] = on_stderr

    def run(
        self, split: Callable[[int], Split], work: Callable[[Split], Outcome], undo: Callable[[], None] = lambda: None
    ) -> Outcome:
        """The result of `work` on what `split` makes of so many tokens each; where memory runs out, of half as many.

        `undo` clears what a failed try has added up. Raises what `work` raises where less does not help.
        """
        while True:
            try:
                return work(split(self.budget_tokens))
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error) or self.budget_tokens <= SMALLEST_BUDGET:
                    raise
            undo()
            self.budget_tokens //= 2
            self.warn(
                f"out of memory: micro-batches have {self.budget_tokens} tokens from now on; results are the same but "
                "for rounding"
            )

    def allow(self, most: int) -> None:
        """Use no more tokens than these."""
        self.budget_tokens = min(self.budget_tokens, most)


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error) for words in LACKS)
