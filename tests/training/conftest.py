"""Several processes that are joined, each running the same lines."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import PATIENCE_S, free_port

from truing.training.run import Run

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


@pytest.fixture
def together(tmp_path):
    """Run this code in several processes; they end with `expected`. Returns what each printed, and its errors."""

    def run(code, several=2, expected=0):
        port = free_port()
        lines = ["import torch", "from torch import nn", "from truing.training import processes",
                 "torch.set_num_threads(1)", "with processes.joined():",
                 *(f"    {line}" for line in code.splitlines())]  # fmt: skip
        (tmp_path / "code.py").write_text("\n".join(lines))
        started = []
        for rank in range(several):
            own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": several, "LOCAL_WORLD_SIZE": several,
                   "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1, "PYTHONFAULTHANDLER": 1,
                   "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # fmt: skip
            started.append(subprocess.Popen([sys.executable, str(tmp_path / "code.py")], text=True,
                                            env={**os.environ, **{name: str(value) for name, value in own.items()}},
                                            stdout=subprocess.PIPE, stderr=subprocess.PIPE))  # fmt: skip
        try:
            told = [process.communicate(timeout=PATIENCE_S) for process in started]
        finally:
            for process in started:
                process.kill()
        if any(process.returncode != expected for process in started):
            codes = [process.returncode for process in started]
            pytest.fail(
                "\n".join(f"exit code {code}\n{out}{error}" for code, (out, error) in zip(codes, told, strict=True))
            )
        return [out for out, _ in told], [error for _, error in told]

    return run
