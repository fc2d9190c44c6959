"""Progress: quiet where nobody looks, alive on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from truing.runs.progress import Progress, span


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def drawn(progress: Progress) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(progress.display())
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("seconds, said", [(0.4, "0 s"), (59.4, "59 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")])
def test_span(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_off_a_terminal_a_short_stage_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(3, "sft") as progress:
        for step in (1, 2, 3):
            progress.update(step, {"loss/nll": 1.0})
    assert capsys.readouterr() == ("", "")


def test_off_a_terminal_a_plain_line_at_most_every_30_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    clock, file = Clock(), io.StringIO()
    with Progress(100, "rl", Console(file=file), clock) as progress:
        for step in range(1, 100):
            clock.now += 1
            progress.update(step, {"reward/mean": step / 100, "loss/policy": 3.0}, "a text")
    lines = file.getvalue().splitlines()
    assert lines == [
        "rl  30 of 100   1.0 a second, 1 min 10 s left   reward/mean 0.3",
        "rl  60 of 100   1.0 a second, 40 s left   reward/mean 0.6",
        "rl  90 of 100   1.0 a second, 10 s left   reward/mean 0.9",
    ]


def test_the_rate_follows_a_change_of_speed() -> None:
    clock = Clock()
    progress = Progress(1000, "rl", Console(file=io.StringIO()), clock)
    for step in range(1, 101):
        clock.now += 10
        progress.update(step, {})
    assert progress.pace() == "10.0 s each, 2 h 30 min left"
    for step in range(101, 201):
        clock.now += 0.5
        progress.update(step, {})
    assert progress.pace() == "2.0 a second, 6 min 40 s left"


def test_a_stage_without_figures_to_watch_shows_its_own_and_keeps_rare_ones() -> None:
    progress = Progress(10, "x", Console(file=io.StringIO()))
    progress.update(1, {"odd": 1.0})
    assert progress.said() == ["odd 1"]
    progress.update(2, {"loss/held_out": 2.5, "loss/nll": 2.0})
    progress.update(3, {"loss/nll": 1.5})
    assert progress.said() == ["loss/held_out 2.5", "loss/nll 1.5"]


def test_the_display_shows_the_sample_without_its_control_characters() -> None:
    progress = Progress(10, "rl", Console(file=io.StringIO()))
    progress.update(4, {"reward/mean": 0.25}, "Once [bold]upon[/bold]\n a \x1b[2J time" + "." * 300)
    text = drawn(progress)
    assert "rl" in text and "4 of 10" in text and "reward/mean 0.25" in text
    assert "“Once [bold]upon[/bold]  a  [2J" in text
    assert "\x1b" not in text
    assert "…”" in text


def test_on_a_terminal_it_is_alive_and_leaves_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    file, clock = Terminal(), Clock()
    with Progress(2, "sft", Console(file=file, width=80), clock) as progress:
        progress.update(1, {"loss/nll": 3.0})
        clock.now = 61
        progress.update(2, {"loss/nll": 2.0})
        progress.live.refresh()
    assert "\x1b[" in file.getvalue()
    assert "sft  2 of 2 in 1 min 01 s   loss/nll 2" in file.getvalue()


def test_nothing_to_do_is_no_error() -> None:
    with Progress(0, "sample", Console(file=io.StringIO())) as progress:
        assert "0 of 0" in drawn(progress)
