"""The report: what a run did and what came of it, on one page that needs nothing but itself."""

from __future__ import annotations

import json
import math
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from jinja2 import Environment, StrictUndefined

from truing.commands import TABLE
from truing.errors import UserError
from truing.evaluation.charts import (
    COLOURS,
    LINES,
    Chart,
    Line,
    best_of_n,
    charts_of,
    curves,
    number,
    reliability,
    words,
)
from truing.runs.progress import span
from truing.runs.run import replace_text

GROUPS = {
    "reward": "Reward",
    "kl": "Drift from the reference",
    "loss": "Loss",
    "response": "Responses",
    "policy": "Policy",
    "reward_model": "Reward model",
    "critic": "Critic",
    "advantage": "Advantage",
}
QUIET = ("time", "rate", "check", "")  # groups that are folded away: of use when something is wrong
# The figures that tell most, where a summary has them: the first few become the headline.
HEADLINE = (
    "win_rate",
    "reward_model_accuracy",
    "longer_wins_accuracy",
    "calibration_error",
    "reward",
    "kl",
    "held_out_loss",
    "loss",
    "length",
)
TERMS = ("reward", "reference", "entropy", "critic")
SHOWN_PAIRS, MOST_PAIRS, SHOWN_OTHERS = 6, 40, 8
STAGES = {name: command.title for name, command in TABLE.items() if command.title}
RENAMED: dict[str, str] = {}  # metrics and keys of summary.json: name in an earlier version -> name today


@dataclass(frozen=True)
class Config:
    """Which run."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run's folder."""


def present_names(row: dict[str, Any]) -> dict[str, Any]:
    """A row of metrics or a summary of any version, with the names that this version gives them."""
    return {RENAMED.get(name, name): value for name, value in row.items()}


def tug_of_war(lines: dict[str, Line]) -> dict[str, Any] | None:
    """How hard each term pulled at the policy, and which way; None where it was not measured."""
    norms = {name: lines[f"tug/{name}"] for name in TERMS if f"tug/{name}" in lines}
    if not norms:
        return None
    colour = dict(zip(TERMS, LINES, strict=False))
    named = [Line(name, line.step, line.value) for name, line in norms.items()]
    charts = [curves("Gradient norm of each term", "how hard it pulls", named, [colour[name] for name in norms])]
    cosines = [
        Line(name.removeprefix("tug/cosine_").replace("_", " and "), line.step, line.value)
        for name, line in lines.items()
        if name.startswith("tug/cosine_")
    ][: len(LINES)]
    if cosines:
        turned = [*LINES[1:], LINES[0]]  # most are with the reward: the colour is then that of the other term
        said = "1 the same way, −1 against each other"
        charts.append(curves("Cosine between terms", said, cosines, turned[: len(cosines)], are_cosines=True))
    last = {name: float(line.value[-1]) for name, line in norms.items()}
    pulls = [
        {
            "name": name,
            "colour": COLOURS[colour[name]],
            "width": f"{100 * norm / (max(last.values()) or 1.0):.1f}",
            "value": number(norm, digits=3),
            "way": _way(name, lines.get(f"tug/cosine_reward_{name}")),
        }
        for name, norm in last.items()
    ]
    return {"charts": charts, "pulls": pulls, "step": int(named[0].step[-1])}


def _way(name: str, line: Line | None) -> str:
    if line is None:
        return "at weights of its own" if name == "critic" else ""
    cosine = float(line.value[-1])
    said = "against the reward" if cosine < -0.2 else "along with the reward" if cosine > 0.2 else "across the reward"
    return f"{said} (cosine {number(cosine, digits=2)})"


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file; a last line that was cut off in the writing is left out."""
    rows: list[dict[str, Any]] = []
    if not path.is_file():
        return rows
    # A row ends at a newline only: splitlines would cut at line separators within a text, too.
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def _lines(rows: Sequence[dict[str, Any]]) -> dict[str, Line]:
    """Each metric with the steps at which it is a number."""
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            if name not in ("step", "time_s") and isinstance(value, int | float) and math.isfinite(value):
                points[name].append((row.get("step", len(points[name]) + 1), value))
    return {name: Line(name, *np.array(xy, dtype=float).T) for name, xy in points.items()}


def _groups(lines: dict[str, Line]) -> tuple[list[tuple[str, list[Chart]]], list[Chart]]:
    """Charts by the prefix of their names, those that tell most first; and the ones to fold away."""
    by_prefix: dict[str, list[Line]] = defaultdict(list)
    for name, line in lines.items():
        prefix = name.partition("/")[0] if "/" in name else ""
        quiet = prefix in QUIET or name.endswith("/lr")
        if prefix != "tug":
            by_prefix["" if quiet else prefix].append(line)
    order = [*GROUPS, *sorted(set(by_prefix) - set(GROUPS) - {""})]
    chart = {c.title: c for c in charts_of([line for some in by_prefix.values() for line in some])}
    drawn = {prefix: [chart[line.name] for line in some] for prefix, some in by_prefix.items()}
    return [(GROUPS.get(p, words(p)), drawn[p]) for p in order if p in drawn], drawn.get("", [])


def _before(name: str, summary: dict[str, Any]) -> tuple[str, str]:
    """The key of a figure before the stage and of the same after: two keys of the summary, or one twice."""
    for before, after in ((f"{name}_before", f"{name}_after"), (f"reference_{name}", name)):
        if before in summary and after in summary:
            return before, after
    return name, name


def _figures(summary: dict[str, Any]) -> list[dict[str, str]]:
    """The rows of the table of figures: before beside after, intervals beside their value."""
    rows, told = [], set()
    for key, value in summary.items():
        if key == "time_s" or key.endswith("_interval") or isinstance(value, list | dict):
            continue
        name = key.removesuffix("_before").removesuffix("_after").removeprefix("reference_")
        before, after = _before(name, summary)
        if before == after:
            name = before = after = key
        if name in told:
            continue
        told.add(name)
        bounds = summary.get(f"{after}_interval")
        interval = (
            " to ".join("–" if x is None else number(x, name) for x in bounds) if isinstance(bounds, list) else ""
        )
        row = {"key": name, "value": number(summary[after], name), "interval": interval}
        rows.append(row | {"before": number(summary[before], name) if before != after else ""})
    return rows


def _cards(summary: dict[str, Any], figures: Sequence[dict[str, str]]) -> list[tuple[str, str, str]]:
    """The headline: name, value, note. A summary may bring its own as `table`."""
    if isinstance(summary.get("table"), list):
        return [(str(row[0]), str(row[1]), str(row[2]) if len(row) > 2 else "") for row in summary["table"]]
    by_key = {row["key"]: row for row in figures}
    picked = [by_key[key] for key in HEADLINE if key in by_key][:4]
    notes = [row["interval"] and f"95% interval {row['interval']}" for row in picked]
    values = [f"{row['before']} → {row['value']}" if row["before"] else row["value"] for row in picked]
    return [(words(row["key"]), value, note) for row, value, note in zip(picked, values, notes, strict=True)]


def _samples(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Texts: pairs before and after for one prompt, in the file's order (a choice would flatter), and others."""
    said: list[dict[str, Any]] = [
        {"phase": row.get("phase", ""), "step": row.get("step"), "score": row.get("score")}
        | {"prompt": str(row.get("prompt", "")), "response": str(row.get("response", ""))}
        for row in rows
    ]
    waiting: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in said:
        if row["phase"] == "after":
            waiting[row["prompt"]].append(row)
    pairs = [
        (row, waiting[row["prompt"]].pop(0)) for row in said if row["phase"] == "before" and waiting[row["prompt"]]
    ]
    others = [row for row in said if row["phase"] == ""] if pairs else said
    places = np.unique(np.linspace(0, len(others) - 1, SHOWN_OTHERS).astype(int)) if others else ()
    spread = [others[i] for i in places]
    return {"pairs": pairs[:MOST_PAIRS], "shown": SHOWN_PAIRS, "count": len(pairs), "others": spread}


def _described(folder: Path) -> dict[str, Any]:
    """Everything the page says of one run."""
    config = (folder / "config.toml").read_text(encoding="utf-8", errors="replace")
    summary: dict[str, Any] = {}
    warnings = ["This run is not finished: it goes on still, or was broken off."]
    if (folder / "summary.json").is_file():
        try:
            summary = present_names(json.loads((folder / "summary.json").read_text(encoding="utf-8")))
        except ValueError as error:
            raise UserError(f"{folder.name}/summary.json: this is not JSON: {error}") from None
        warnings = [str(line) for line in summary.pop("warnings", None) or []]
    try:
        stage = str(tomllib.loads(config).get("stage", ""))
    except tomllib.TOMLDecodeError:
        stage = ""
    rows = [present_names(row) for row in _rows(folder / "metrics.jsonl")]
    lines = _lines(rows)
    figures = _figures(summary)
    groups, quiet = _groups(lines)
    calibration = summary.get("calibration") or []
    chosen = [
        (n, summary[k]) for n, k in (("policy", "best_of_n"), ("reference", "reference_best_of_n")) if summary.get(k)
    ]
    drawn = ("calibration", "best_of_n", "reference_best_of_n", "table")
    tables = {
        words(name): value
        for name, value in summary.items()
        if name not in drawn and isinstance(value, list) and value and all(isinstance(row, dict) for row in value)
    }
    return {
        "name": folder.name,
        "stage": stage,
        "title": STAGES.get(stage, words(stage) or folder.name),
        "warnings": warnings,
        "steps": len(rows),
        "time": span(summary["time_s"]) if summary.get("time_s") else "",
        "cards": _cards(summary, figures),
        "figures": figures,
        "groups": groups,
        "quiet": quiet,
        "tug": tug_of_war(lines),
        "calibration": calibration,
        "reliability": reliability(calibration) if calibration else None,
        "best_of_n": best_of_n(chosen) if chosen else None,
        "tables": tables,
        "samples": _samples(_rows(folder / "samples.jsonl")),
        "config": config,
        "has_report": (folder / "report.html").is_file(),
    }


def write(run_dir: str | Path) -> Path:
    """Write `report.html` into a run's folder, for it and the runs inside it. Returns the page's path."""
    folder = Path(run_dir)
    if not (folder / "config.toml").is_file():
        raise UserError(f"{run_dir}: no run is here: a run's folder holds a config.toml")
    inside = [_described(f.parent) for f in folder.glob("*/config.toml")]
    place = {stage: i for i, stage in enumerate(STAGES)}
    inside.sort(key=lambda run: (place.get(run["stage"], len(place)), run["name"]))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "short": partial(number, digits=3), "words": words}
    page = environment.from_string(resources.files("truing.evaluation").joinpath("page.html").read_text("utf-8"))
    run = _described(folder.resolve())
    replace_text(folder / "report.html", page.render(run=run, inside=inside))
    return folder / "report.html"


def show(config: Config) -> None:
    """Write it, and print where it is."""
    print(write(config.run))
