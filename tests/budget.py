"""What the tests of each folder may take: seconds on two quiet cores, both workers' added up (`tests/budget.toml`).

`make test` prints the folders that took more. Nothing fails by the clock: a slow machine is no fault of the tests.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path

BUDGET_S: dict[str, float] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def folder_of(test: str) -> str:
    """`faults` of `tests/faults/test_disk.py::test_…`; `tests` of what lies in no folder."""
    parts = test.split("::")[0].split("/")
    return parts[1] if len(parts) > 2 else "tests"


def over_budget(spent_s: Mapping[str, float], budget_s: Mapping[str, float]) -> list[str]:
    """A line for each folder that took more than it may, the worst first."""
    over = {folder: spent - budget_s.get(folder, 0) for folder, spent in spent_s.items()}
    return [
        f"tests of {folder} took {spent_s[folder]:.0f} s, {budget_s.get(folder, 0):.0f} are theirs (tests/budget.toml)"
        for folder in sorted(over, key=lambda folder: -over[folder])
        if over[folder] > 0
    ]
