"""How memory is asked of the system: large blocks are kept for the next tensor instead of being given back."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

# glibc's <malloc.h>; 2**31 - 1 is the most that mallopt's int can say.
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
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
