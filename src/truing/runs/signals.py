"""Being told to stop: the first signal lets the step end and be saved, the second ends the process at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType, TracebackType

from truing.errors import RunEnds
from truing.runs import distributed

WATCHED = (signal.SIGINT, signal.SIGTERM)


class Stopped(RunEnds):
    """A run was told to stop and has saved its state."""


class Stopping:
    """Within it, `asked` is the signal that came, if one did."""

    def __init__(self) -> None:
        self.asked = 0

    def __enter__(self) -> Stopping:
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._heard) for number in WATCHED}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            os._exit(128 + number)  # what is on disk is whole at any moment
        self.asked = number
        name = signal.Signals(number).name
        if distributed.rank() == 0:
            print(f"{name}: this step ends and is saved first; once more stops at once", file=sys.stderr, flush=True)
