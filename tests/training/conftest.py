"""What runs log is in the docs."""

import re
from pathlib import Path

import pytest

from truing.runs.run import Run

METRICS = Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.fixture
def metrics_are_documented(monkeypatch):
    """Every name that a run logs stands in docs/metrics.md."""
    known, log = set(re.findall(r"`([a-z_/]+)`", METRICS.read_text(encoding="utf-8"))), Run.log

    def logged(run, step, **metrics):
        names = {name for name in metrics if not name.startswith("tug/cosine_")}
        assert names <= known, f"{METRICS} does not explain {sorted(names - known)}"
        log(run, step, **metrics)

    monkeypatch.setattr(Run, "log", logged)
