"""A revision of this repository beside the working tree."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GIT = ("git", "-C", str(ROOT))


def commit_of(revision: str) -> str:
    """The commit a revision names. Raises ArgumentTypeError where git knows none: it reads an argument."""
    words = [*GIT, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    if found.returncode:
        raise argparse.ArgumentTypeError(f"{revision}: git knows no such commit here")
    return found.stdout.strip()


@contextmanager
def worktree(commit: str, folder: Path) -> Iterator[Path]:
    """The files of a commit, in a worktree at `folder` that is gone afterwards."""
    subprocess.run([*GIT, "worktree", "prune"], check=True)  # of one whose process was killed
    subprocess.run([*GIT, "worktree", "add", "--quiet", "--detach", str(folder), commit], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*GIT, "worktree", "remove", "--force", str(folder)], check=False)
