"""Places where a fault can be made to happen, so that tests show what survives it. Unless they ask, nothing happens."""

from __future__ import annotations

import errno
import os
import signal
from collections import Counter

VARIABLE = "TRUING_FAULT"  # such as kill@rollout:3: SIGKILL when `rollout` is passed for the third time
SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "interrupt": signal.SIGINT}
_passed: Counter[str] = Counter()


def seam(name: str) -> None:
    """Pass a place where a test may want a fault."""
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    _passed[name] += 1
    fault, _, where = wanted.partition("@")
    if where != f"{name}:{_passed[name]}":
        return
    if fault == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.kill(os.getpid(), SIGNALS[fault])
