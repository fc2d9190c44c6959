"""What goes wrong in a user's hands: one clear line and exit code 2."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class TruingExit(Exception):
    """Ends a command: one line for people, and the exit code for programs."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


class UserError(TruingExit):
    """Something the user gave cannot be used. The message names the file, row or key and the way out."""


class Busy(UserError):
    """Another process has it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code=75)  # EX_TEMPFAIL of sysexits.h


def nearest(name: str, valid: Iterable[str]) -> str:
    """The clause `did you mean "x"?` for the closest valid name, or the list of valid ones when none is close."""
    names = sorted(valid)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    return f'did you mean "{close[0]}"?' if close else f"valid: {', '.join(names)}"
