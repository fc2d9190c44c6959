"""Work done behind the training's back, by one thread: one piece at a time, and no error is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Behind:
    """A thread that writes while the training goes on. `spent_s` is how long it has worked, in seconds."""

    def __init__(self) -> None:
        self.spent_s = 0.0
        self._pool = ThreadPoolExecutor(1, "behind")
        self._work: Future[None] | None = None

    def begin(self, work: Callable[[], object]) -> None:
        """Start this piece once the one before has ended. Raises what that one raised, and does not start."""
        self.wait()
        self._work = self._pool.submit(self._timed, work)

    def wait(self) -> None:
        """Until what was begun has ended. Raises what it raised, once."""
        work, self._work = self._work, None
        if work is not None:
            work.result()

    def close(self) -> None:
        """Let the thread go, when its work has ended."""
        self._pool.shutdown()

    def _timed(self, work: Callable[[], object]) -> None:
        begin = time.monotonic()
        try:
            work()
        finally:
            self.spent_s += time.monotonic() - begin
