"""Whole commands."""

import subprocess
import sys

import pytest
from tests.conftest import ENVIRONMENT, PATIENCE_S


def typed(*words, cwd=None, stdin="", environment=ENVIRONMENT):
    """A command as it is typed, from a fresh Python."""
    command = [sys.executable, "-m", "truing", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, input=stdin, timeout=PATIENCE_S, check=False, env=environment
    )


@pytest.fixture
def truing(forked, tmp_path):
    """A command in a process of its own that need not load torch first."""
    return lambda *words, stdin="": forked(list(map(str, words)), ENVIRONMENT, tmp_path, stdin=stdin)
