"""What a person watches while a stage works: how fast, how long yet, the figures that matter, one text."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from truing.runs import distributed

# Shown where they are logged, in this order; a stage that logs none of them shows the first it has.
WATCHED = (
    "reward/mean",
    "kl/per_response",
    "loss/held_out",
    "loss/nll",
    "loss/preference",
    "policy/entropy",
    "response/length",
    "rate/tokens_per_s",
    "rate/share_of_peak",
)
MOST_FIGURES = 6
QUIET_S = 30.0
WINDOW = 50  # steps over which the rate is taken: it follows a change, yet does not flicker
SAMPLE_CHARACTERS = 240


def span(seconds: float) -> str:
    """A length of time as people say it: 42 s, 3 min 05 s, 2 h 10 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Progress:
    """A live display on a terminal; elsewhere at most one plain line every 30 s, on stderr."""

    def __init__(
        self,
        total: int,
        label: str,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.label, self.clock = total, label, clock
        self.console = console or Console(file=sys.stderr)
        # Not `console.is_terminal`: FORCE_COLOR makes that true of a log file.
        self.is_shown = distributed.rank() == 0
        self.is_live = self.is_shown and self.console.file.isatty() and not self.console.is_dumb_terminal
        self.step, self.figures, self.sample = 0, dict[str, float](), ""
        self.start = self.spoke = clock()
        self.times: deque[tuple[int, float]] = deque([(0, self.start)], maxlen=WINDOW)
        self.live = Live(get_renderable=self.display, console=self.console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Progress:
        if self.is_live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_live:
            self.live.stop()
            spent = f"{self.label}  {self.step:,} of {self.total:,} in {span(self.clock() - self.start)}"
            self.console.print(Text("   ".join([spent, *self.said()]), style="dim"))

    def update(self, step: int, figures: dict[str, float], sample: str = "") -> None:
        """`step` of `total` is done. Figures that are not given keep their last value on the display."""
        now = self.clock()
        self.step = step
        self.figures |= figures
        self.sample = sample or self.sample
        self.times.append((step, now))
        if self.is_shown and not self.is_live and now - self.spoke >= QUIET_S:
            self.spoke = now
            print(self.line(), file=self.console.file, flush=True)

    @property
    def rate(self) -> float:
        """Steps a second of late; 0 before the first."""
        (first, then), (last, now) = self.times[0], self.times[-1]
        return (last - first) / (now - then) if now > then else 0.0

    def pace(self) -> str:
        """The rate and the time left."""
        if self.rate == 0:
            return "starting"
        speed = f"{self.rate:.1f} a second" if self.rate >= 1 else f"{1 / self.rate:.1f} s each"
        return f"{speed}, {span((self.total - self.step) / self.rate)} left"

    def said(self) -> list[str]:
        """The figures that matter, as text."""
        names = [name for name in WATCHED if name in self.figures] or list(self.figures)
        return [f"{name} {self.figures[name]:.4g}" for name in names[:MOST_FIGURES]]

    def line(self) -> str:
        """All of it on one plain line."""
        return "   ".join([f"{self.label}  {self.step:,} of {self.total:,}", self.pace(), *self.said()])

    def display(self) -> Group:
        """All of it on a terminal."""
        head = Table.grid(padding=(0, 2))
        done = Text(f"{self.step:,} of {self.total:,}")
        bar = ProgressBar(total=max(1, self.total), completed=self.step, width=30)
        head.add_row(Text(self.label, style="bold"), bar, done, Text(self.pace(), style="dim"))
        rows: list[Table | Text] = [head]
        if self.figures:
            rows.append(Text("   ".join(self.said()), style="cyan"))
        if self.sample:
            # A model's text is not ours: control characters in it would reach the terminal.
            text = "".join(c if c.isprintable() else " " for c in self.sample[:SAMPLE_CHARACTERS])
            rows.append(Text(f"“{text}{'…' if len(self.sample) > SAMPLE_CHARACTERS else ''}”", style="italic dim"))
        return Group(*rows)
