"""The report: all that a run says is on its page, and nothing a model says can act there."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from truing.errors import UserError
from truing.evaluation import report
from truing.evaluation.report import write
from truing.runs.run import Run
from truing.runs.settings import OutputSettings

HOSTILE = "</p><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}&amp;"


@dataclass(frozen=True)
class Config:
    model: str = "some/model"
    note: str = "<b>bold</b>"


class Page(HTMLParser):
    """What a browser would see of a page: its tags, its text, and whether all tags close."""

    VOID = {"meta", "br", "img", "link", "input"}

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + " " if self.open and self.open[-1] != "style" else ""

    def said(self) -> str:
        return " ".join(self.text.split())


def make(folder: Path, stage: str = "rl", summary: dict[str, Any] | None = None, steps: int = 30) -> Path:
    with Run.open(OutputSettings(str(folder)), Config(), stage) as run:
        for step in range(1, steps + 1):
            figures = {"reward/mean": step / 10, "kl/per_response": 0.1 * step, "policy/lr": 1e-5, "time/sample_s": 0.4}
            if step % 10 == 1:
                figures |= {"tug/reward": 1.0, "tug/reference": 0.25 + step / 100, "tug/cosine_reward_reference": -0.6}
            if step == 5:
                figures["reward/mean"] = math.nan
            run.log(step, **figures)
        for phase, score in (("before", -1.0), ("after", 2.0)):
            for prompt in ("first prompt", "second prompt"):
                run.sample(0, phase, prompt=prompt, response=f"{phase} to {prompt}", score=score)
        if summary is not None:
            run.finish(summary)
    return folder


def test_the_page_stands_alone(tmp_path: Path) -> None:
    path = write(make(tmp_path / "run", summary={"reward_before": 0.1, "reward_after": 0.9}))
    assert path == tmp_path / "run" / "report.html"
    page = Page(path)
    assert {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "image", "base"} == set()
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href"):
                assert tag in ("use", "a") and (value or "").startswith("#"), (tag, name, value)
    assert not re.search(r"url\((?!#)|@import", path.read_text(encoding="utf-8"))
    assert str(tmp_path) not in path.read_text(encoding="utf-8")


def test_figures_intervals_and_both_sides(tmp_path: Path) -> None:
    summary = {
        "win_rate": 0.913,
        "win_rate_interval": [0.874, 0.945],
        "length_before": 34.0,
        "length_after": 28.0,
        "entropy": 1.4,
        "reference_entropy": 2.6,
        "broken": math.nan,
    }
    said = Page(write(make(tmp_path / "run", summary=summary))).said()
    assert "win rate 91.3% 87.4% to 94.5%" in said
    assert "length 34 28" in said
    assert "entropy 2.6 1.4" in said
    assert "broken not finite" in said
    assert "interval 87.4% to 94.5%" in said and "34 → 28" in said


def test_an_open_end_of_an_interval_is_a_dash(tmp_path: Path) -> None:
    summary = {"reward": 1.5, "reward_interval": [0.5, math.inf], "entropy": 2.0, "entropy_interval": [None, None]}
    said = Page(write(make(tmp_path / "run", summary=summary))).said()
    assert "reward 1.5 0.5 to –" in said and "entropy 2 – to –" in said and "not finite" not in said


def test_curves_stand_in_groups_and_the_tug_of_war_apart(tmp_path: Path) -> None:
    page = Page(write(make(tmp_path / "run", summary={})))
    said = page.said()
    assert "Drift from the reference kl/per_response 0.1 → 3" in said
    assert "reward/mean 0.1 → 3" in said
    assert said.index("Learning rate, time and checks") < said.index("policy/lr")
    assert "The tug of war" in said
    assert "reference 0.46 against the reward (cosine −0.6)" in said
    assert said.count("tug/") == 0, "its metrics are not shown twice"
    assert sum(tag == "svg" for tag, _ in page.tags) == 6


def test_samples_are_matched_by_prompt(tmp_path: Path) -> None:
    with Run.open(OutputSettings(str(tmp_path / "run")), Config(), "rl") as run:
        for phase, prompts in (("before", ["a?", "b?", "a?"]), ("after", ["b?", "a?", "a?"])):
            for i, prompt in enumerate(prompts):
                run.sample(0, phase, prompt=prompt, response=f"{phase} {i}", score=None)
        run.sample(7, "", prompt="on the way?", response="yes")
    said = Page(write(tmp_path / "run")).said()
    assert "a? before before 0 after after 1" in said
    assert "b? before before 1 after after 0" in said
    assert "a? before before 2 after after 2" in said
    assert "Texts on the way on the way? step 7 yes" in said


def test_rows_whose_texts_hold_other_line_ends_are_shown(tmp_path: Path) -> None:
    """Red where a row is cut at the line separator within its text: both halves are no JSON, and it was left out."""
    with Run.open(OutputSettings(str(tmp_path / "run")), Config(), "rl") as run:
        run.sample(1, "", prompt="a\u2028b\u0085c", response="a tall answer\u2029of two paragraphs")
        run.finish({"reward": 1.0})
    page = write(tmp_path / "run").read_text(encoding="utf-8")
    assert "a\u2028b\u0085c" in page and "a tall answer\u2029of two paragraphs" in page


def test_hostile_text_is_only_text(tmp_path: Path) -> None:
    with Run.open(OutputSettings(str(tmp_path / "run")), Config(note=HOSTILE), HOSTILE) as run:
        run.log(1, **{f"{HOSTILE}/x": 1.0})
        run.log(2, **{f"{HOSTILE}/x": 2.0})
        for phase in ("before", "after", ""):
            run.sample(1, phase, prompt=HOSTILE, response=HOSTILE, score=HOSTILE)
        run.say(HOSTILE)
        run.finish({HOSTILE: 1.0, "table": [[HOSTILE, HOSTILE, HOSTILE]], "rows": [{HOSTILE: HOSTILE}]})
    page = Page(write(tmp_path / "run"))
    assert {tag for tag, _ in page.tags} & {"script", "img", "b>"} == set()
    assert page.text.count("alert(1)") >= 20
    assert "49" not in page.text and "{{ 7 * 7 }}" in page.text


def test_warnings_come_first(tmp_path: Path) -> None:
    said = Page(write(make(tmp_path / "run", summary={"reward": 1.0, "warnings": ["the gap is wide"]}))).said()
    assert said.index("the gap is wide") < said.index("Figures")


def test_a_run_that_is_not_finished_has_a_page_that_says_so(tmp_path: Path) -> None:
    folder = make(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 31, "reward/me')
    assert "This run is not finished" in Page(write(folder)).said()


def test_an_empty_run_has_a_page(tmp_path: Path) -> None:
    with Run.open(OutputSettings(str(tmp_path / "run")), Config(), "sft") as run:
        run.finish({})
    assert "Supervised fine-tuning" in Page(write(tmp_path / "run")).said()


def test_the_reliability_table_and_best_of_n(tmp_path: Path) -> None:
    rows = [
        {"low": 0.1 * i, "high": 0.1 * i + 0.1, "count": 10 + i, "predicted": 0.05, "observed": 0.07} for i in (0, 9)
    ]
    points = [{"n": 1, "kl": 0.0, "reward": 0.5}, {"n": 2, "kl": 0.193, "reward": 0.8}]
    odd = [{"name": "length", "share": 0.25}]
    said = Page(write(make(tmp_path / "run", summary={"calibration": rows, "best_of_n": points, "odd": odd}))).said()
    assert "0–0.1 10 0.05 0.07" in said and "0.9–1 19 0.05 0.07" in said
    assert "policy best of 2: 0.8" in said
    assert "Odd name share length 0.25" in said


def test_a_parent_shows_its_table_and_every_run_inside(tmp_path: Path) -> None:
    with Run.open(OutputSettings(str(tmp_path / "demo")), Config(), "demo") as whole:
        for stage in ("rl", "pretrain", "reward"):
            make(whole.folder / stage, stage, {"reward": 1.0})
        (whole.folder / "data").mkdir()
        write(whole.folder / "rl")
        whole.finish({"win_rate": 0.9, "table": [["win rate against SFT", "90.0%", "a note"]]})
    page = Page(write(tmp_path / "demo"))
    said = page.said()
    assert "win rate against SFT 90.0% a note" in said
    assert said.index("demo/pretrain") < said.index("demo/reward") < said.index("demo/rl"), "in the order of the work"
    assert [a["href"] for tag, a in page.tags if tag == "a"] == ["#pretrain", "#reward", "#rl", "rl/report.html"]
    assert {a["id"] for tag, a in page.tags if tag == "section" and "id" in a} == {"pretrain", "reward", "rl"}
    assert said.count("kl/per_response") == 3


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.toml"):
        write(tmp_path)
    folder = make(tmp_path / "run", summary={})
    (folder / "summary.json").write_text("{")
    with pytest.raises(UserError, match=r"run/summary\.json: this is not JSON"):
        write(folder)


def test_a_run_of_an_earlier_version_is_shown_with_the_names_of_today(tmp_path, monkeypatch) -> None:
    run = make(tmp_path / "run", summary={"old_figure": 0.25}, steps=3)
    lines = [{"step": 1, "reward/old": 0.5}, {"step": 2, "reward/old": 0.75}]
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    monkeypatch.setattr(report, "RENAMED", {"reward/old": "reward/new", "old_figure": "new_figure"})
    said = Page(write(run)).said()
    assert "reward/new" in said and "new figure" in said
    assert "reward/old" not in said and "old figure" not in said
