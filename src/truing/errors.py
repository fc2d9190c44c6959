"""What goes wrong in a user's hands: one clear line and exit code 2."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class UserError(Exception):
    """Something the user gave cannot be used. The message names the file, row or key and the way out."""

    code = 2


class RunEnds(Exception):
    """A run ends before its end, by no mistake of the user's: one line for people, an exit code for programs."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Diverged(RunEnds):
    """Learning went to numbers that are none."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code=1)


class Busy(RunEnds):
    """Another process has it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code=75)  # EX_TEMPFAIL of sysexits.h


def nearest(name: str, valid: Iterable[str]) -> str:
    """The clause `did you mean "x"?` for the closest valid name, or the list of valid ones when none is close."""
    names = sorted(valid)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    return f'did you mean "{close[0]}"?' if close else f"valid: {', '.join(names)}"


def neighbour(path: Path) -> str:
    """The clause `; did you mean PATH?` for what lies beside a path that is not there, where a name is close."""
    names = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    return f"; did you mean {path.parent / close[0]}?" if (close := get_close_matches(path.name, names, n=1)) else ""


def first_line(error: Exception) -> str:
    """The first line of an error's own words, or its name where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
