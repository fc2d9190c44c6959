"""Runs: what is written is whole, and what was written is not lost by accident."""

from __future__ import annotations

import json
import math
import sys
import tomllib
import types
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import truing
from truing.errors import Busy, UserError
from truing.runs import checkpoint
from truing.runs import run as run_module
from truing.runs.run import MOST_WARNINGS, Run, is_finished, replace_text, to_json
from truing.runs.settings import RunSettings
from truing.settings import to_toml


@dataclass(frozen=True)
class Inner:
    lr: float = 0.1
    name: str | None = None


@dataclass(frozen=True)
class Config:
    data: tuple[str, ...] = ("a", "b")
    limit: int | None = None
    weights: dict[str, float] = field(default_factory=lambda: {"x": 0.5})
    learning: Inner = field(default_factory=Inner)
    track: str = "none"


def strict_json(text: str) -> Any:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def rows(path: Path) -> list[dict[str, Any]]:
    return [strict_json(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_config_toml_names_stage_and_version_and_leaves_out_none(tmp_path: Path) -> None:
    with Run.open(RunSettings(str(tmp_path / "run")), Config(), "sft") as run:
        assert not (tmp_path / "run").exists(), "nothing is written before there is something to write"
        run.log(1)
    text = (tmp_path / "run" / "config.toml").read_text()
    assert text.startswith(f"# truing {truing.__version__}\n")
    expected = {"stage": "sft", "data": ["a", "b"], "weights": {"x": 0.5}, "learning": {"lr": 0.1}, "track": "none"}
    assert tomllib.loads(text) == expected


def test_to_toml_round_trips_awkward_strings() -> None:
    told = Config(data=('quo"te', "line\nbreak", "Ünïcode → 文"))
    assert tuple(tomllib.loads(to_toml(told))["data"]) == told.data


def test_figures_that_are_not_finite_become_null(tmp_path: Path) -> None:
    with Run.open(RunSettings(str(tmp_path)), Config(), "rl") as run:
        run.log(1, **{"reward/mean": 0.5, "loss/policy": math.nan, "kl/per_response": -math.inf})
        run.sample(1, "", prompt="p", response="r", score=math.inf)
        run.finish({"reward": math.nan, "interval": [np.float32(0.25), math.inf], "rows": [{"n": np.int64(3)}]})
    assert rows(tmp_path / "metrics.jsonl")[0]["reward/mean"] == 0.5
    assert rows(tmp_path / "metrics.jsonl")[0]["loss/policy"] is None
    assert rows(tmp_path / "metrics.jsonl")[0]["kl/per_response"] is None
    assert rows(tmp_path / "samples.jsonl")[0]["score"] is None
    summary = strict_json((tmp_path / "summary.json").read_text())
    assert summary["reward"] is None
    assert summary["interval"] == [0.25, None]
    assert summary["rows"] == [{"n": 3}]


def test_a_row_can_be_read_before_the_run_ends(tmp_path: Path) -> None:
    with Run.open(RunSettings(str(tmp_path)), Config(), "sft") as run:
        run.log(1, loss=2.0)
        run.sample(1, "before", prompt="p", response="r")
        assert rows(tmp_path / "metrics.jsonl")[0]["step"] == 1
        assert rows(tmp_path / "metrics.jsonl")[0]["time_s"] >= 0
        assert rows(tmp_path / "samples.jsonl") == [{"step": 1, "phase": "before", "prompt": "p", "response": "r"}]


def test_texts_of_any_kind_are_kept(tmp_path: Path) -> None:
    text = 'line\nbreak " </script> 文 \u2028 \udc80'
    with Run.open(RunSettings(str(tmp_path)), Config(), "sample") as run:
        run.sample(0, "", prompt=text, response=text)
    assert len((tmp_path / "samples.jsonl").read_bytes().split(b"\n")) == 2
    assert json.loads((tmp_path / "samples.jsonl").read_text())["response"] == text


def test_tensorboard_events_are_written(tmp_path: Path) -> None:
    with Run.open(RunSettings(str(tmp_path)), Config(), "rl") as run:
        run.log(1, **{"reward/mean": 0.5, "broken": math.nan})
    events = b"".join(f.read_bytes() for f in (tmp_path / "events").iterdir())
    assert b"reward/mean" in events
    assert b"broken" not in events


@pytest.mark.parametrize("name", ["file", "folder"])
def test_what_is_no_run_is_refused_and_unharmed(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    kept = out if name == "file" else out / "thesis.txt"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("precious")
    with pytest.raises(UserError, match=r"out .*out: "):
        Run.open(RunSettings(str(out), fresh=True), Config(), "sft")
    assert kept.read_text() == "precious"
    assert sum(f.is_file() for f in tmp_path.rglob("*")) == 1


@pytest.mark.parametrize("inside", ["", "model"])
def test_a_run_does_not_replace_what_it_begins_from(tmp_path: Path, inside: str) -> None:
    """It did with --fresh, and the model was gone."""
    finished(tmp_path / "run")
    kept = files_of(tmp_path / "run")
    config = Config(data=("a", str(tmp_path / "run" / inside)))
    with pytest.raises(
        UserError, match=r"out .*run: data .*run.* is there, and would be replaced; name another folder"
    ):
        Run.open(RunSettings(str(tmp_path / "run"), fresh=True), config, "sft")
    assert files_of(tmp_path / "run") == kept


def finished(folder: Path) -> None:
    with Run.open(RunSettings(str(folder)), Config(), "sft") as run:
        run.log(1, loss=1.0)
        (run.folder / "model").mkdir()
        (run.folder / "notes.txt").write_text("mine")
        run.finish({"loss": 1.0})


def test_a_finished_run_is_refused_without_fresh(tmp_path: Path) -> None:
    finished(tmp_path)
    with pytest.raises(UserError, match="--fresh"):
        Run.open(RunSettings(str(tmp_path)), Config(), "sft")


def test_fresh_costs_nothing_until_something_is_written(tmp_path: Path) -> None:
    finished(tmp_path)
    with pytest.raises(UserError, match="bad data"), Run.open(RunSettings(str(tmp_path), fresh=True), Config(), "sft"):
        raise UserError("bad data")
    assert strict_json((tmp_path / "summary.json").read_text())["loss"] == 1.0
    assert (tmp_path / "model").is_dir()


def test_fresh_replaces_what_the_run_wrote_and_nothing_else(tmp_path: Path) -> None:
    finished(tmp_path)
    with Run.open(RunSettings(str(tmp_path), fresh=True), Config(), "rl") as run:
        run.log(7, loss=2.0)
    assert [row["step"] for row in rows(tmp_path / "metrics.jsonl")] == [7]
    assert not (tmp_path / "summary.json").exists()
    assert not (tmp_path / "model").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert 'stage = "rl"' in (tmp_path / "config.toml").read_text()
    assert len(list((tmp_path / "events").iterdir())) == 1


def test_a_run_broken_off_is_replaced_unless_it_left_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Run.open(RunSettings(str(tmp_path)), Config(), "sft") as run:
        run.log(1, loss=1.0)
        raise RuntimeError("power cut")
    with Run.open(RunSettings(str(tmp_path)), Config(), "sft") as run:
        run.log(2, loss=1.0)
        (run.folder / "checkpoints").mkdir()
    assert [row["step"] for row in rows(tmp_path / "metrics.jsonl")] == [2]
    with pytest.raises(UserError, match="checkpoints"):
        Run.open(RunSettings(str(tmp_path)), Config(), "sft")


def test_replace_text_leaves_the_old_file_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.json"
    replace_text(path, "old")

    def fail(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        replace_text(path, "new")
    assert path.read_text() == "old"
    assert [f.name for f in tmp_path.iterdir()] == ["summary.json"]


def test_what_was_said_is_in_the_summary_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Run.open(RunSettings(str(tmp_path)), Config(), "sft") as run:
        run.say("row 3 is empty")
        run.say("row 3 is empty")
        for i in range(MOST_WARNINGS + 4):
            run.say(f"row {i + 10} is empty")
        run.finish({"loss": 1.0})
    assert capsys.readouterr().err.count("row 3 is empty") == 1
    warnings = strict_json((tmp_path / "summary.json").read_text())["warnings"]
    assert len(warnings) == MOST_WARNINGS + 1
    assert warnings[0] == "row 3 is empty"
    assert warnings[-1] == "and 5 more"


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def broken_off(folder: Path) -> None:
    with Run.open(RunSettings(str(folder)), Config(), "sft") as run:
        run.log(1, loss=1.0)
        checkpoint.write(run.state_home, checkpoint.State({"w": torch.zeros(2)}, {"step": 1}))


@pytest.mark.parametrize("first", [finished, broken_off])
def test_of_two_runs_begun_at_once_the_later_leaves_what_the_first_wrote(
    tmp_path: Path, first: Callable[[Path], None]
) -> None:
    with Run.open(
        RunSettings(str(tmp_path / "run")), Config(), "sft"
    ) as later:  # no folder yet, and so no lock to take
        first(tmp_path / "run")
        kept = files_of(tmp_path / "run")
        for _ in range(2):  # one that catches the first refusal harms nothing either
            with pytest.raises(UserError, match="in the meantime"):
                later.log(2, loss=2.0)
    assert files_of(tmp_path / "run") == kept
    with Run.open(RunSettings(str(tmp_path / "run"), fresh=True), Config(), "sft") as run:  # the lock was given back
        run.log(1, loss=1.0)


def test_a_run_that_ends_between_the_look_and_the_lock_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    take = run_module._locked

    def later(folder: Path) -> Any:
        monkeypatch.setattr(run_module, "_locked", take)
        finished(folder)
        return take(folder)

    monkeypatch.setattr(run_module, "_locked", later)
    with pytest.raises(UserError, match="in the meantime"):
        Run.open(RunSettings(str(tmp_path / "run")), Config(), "sft")
    assert (tmp_path / "run" / "summary.json").is_file()
    with Run.open(RunSettings(str(tmp_path / "run"), fresh=True), Config(), "sft") as run:
        run.log(1, loss=1.0)


def test_two_runs_begun_at_once_are_one_at_a_time_with_fresh_too(tmp_path: Path) -> None:
    with Run.open(RunSettings(str(tmp_path / "run"), fresh=True), Config(), "sft") as later:
        with Run.open(RunSettings(str(tmp_path / "run"), fresh=True), Config(), "sft") as first:
            first.log(1, loss=1.0)
            with pytest.raises(Busy):
                later.log(2, loss=2.0)
        later.log(2, loss=2.0)
    assert [row["step"] for row in rows(tmp_path / "run" / "metrics.jsonl")] == [2]


class FakeTracker(types.ModuleType):
    def __init__(self) -> None:
        super().__init__("trackio")
        self.calls: list[tuple[Any, ...]] = []

    def init(self, **settings: Any) -> None:
        self.calls.append(("init", settings["name"], settings["config"]["learning"]))

    def log(self, figures: dict[str, float], step: int) -> None:
        self.calls.append(("log", figures, step))

    def finish(self) -> None:
        self.calls.append(("finish",))


def test_figures_go_to_the_tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = FakeTracker()
    monkeypatch.setitem(sys.modules, "trackio", tracker)
    with Run.open(RunSettings(str(tmp_path / "mine"), track="trackio"), Config(), "sft") as run:
        run.log(3, **{"loss/nll": 2.0, "bad": math.nan})
    assert tracker.calls == [
        ("init", "mine", {"lr": 0.1, "name": None}),
        ("log", {"loss/nll": 2.0}, 3),
        ("finish",),
    ]


def test_a_tracker_that_is_missing_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"pip install truing\[track\]"):
        Run.open(RunSettings(str(tmp_path / "run"), track="wandb"), Config(), "sft")
    assert not (tmp_path / "run").exists()


def test_to_json_refuses_what_json_cannot_say() -> None:
    with pytest.raises(TypeError):
        to_json({"x": object()})


def test_a_setting_that_the_version_of_then_did_not_know_is_at_its_default(tmp_path: Path) -> None:
    """Broken on purpose: what is not named taken for another value -> red, no run of before goes on."""
    config = Config(("a",), weights={"y": 1.0}, learning=Inner(name="n"))
    with Run.open(RunSettings(str(tmp_path / "run")), config, "sft") as run:
        run.finish({"loss": 1.0})
    path = tmp_path / "run" / "config.toml"
    known = path.read_text()
    for line in ('track = "none"\n', "lr = 0.1\n"):
        assert line in known
        path.write_text(known.replace(line, ""))
        assert is_finished(tmp_path / "run", config)
    for other in (replace(config, track="none", limit=3), replace(config, weights={"x": 0.5}),
                  replace(config, learning=Inner(0.2, "n")), replace(config, data=("b",))):  # fmt: skip
        with pytest.raises(UserError, match="other settings"):
            is_finished(tmp_path / "run", other)


def test_what_was_chosen_when_a_run_began_is_kept_by_one_that_goes_on(tmp_path: Path) -> None:
    with Run.open(RunSettings(str(tmp_path / "run")), Config(), "sft") as run:
        assert run.decided("precision", lambda: "bfloat16") == "bfloat16"
        assert not (tmp_path / "run").exists()  # nothing is written before the run begins
        run.log(1, loss=1.0)
        assert run.decided("precision", lambda: "float32") == "bfloat16"
    with Run(RunSettings(str(tmp_path / "run")), Config(), "sft", continues=True) as run:
        assert run.decided("precision", lambda: "float32") == "bfloat16"
    (tmp_path / "run" / "decisions.json").write_text("{")
    with (
        Run(RunSettings(str(tmp_path / "run")), Config(), "sft", continues=True) as run,
        pytest.raises(UserError, match=r"decisions\.json"),
    ):
        run.decided("precision", lambda: "float32")


def test_a_run_that_another_process_writes_touches_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Red when one of its methods forgets to ask."""
    with Run(RunSettings(str(tmp_path / "run")), Config(), "sft", writes=False) as run:
        run.log(1, loss=1.0)
        run.sample(1, "", response="a")
        run.quarantine(1, rows=[1])
        run.note("a note")
        run.save(None, None, "model")  # type: ignore[arg-type]
        assert run.decided("precision", lambda: "float32") == "float32"
        run.rewind({"time_s": 1.0, "warnings": [], "bytes": {}}, 1)
        run.finish({"loss": 1.0})
    assert not (tmp_path / "run").exists() and "a note" not in capsys.readouterr().err
