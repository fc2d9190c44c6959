"""A little of the work: every stage runs, every figure is there. That they are good, `make demo` shows."""

import json

import pytest
from benchmarks.replay import outcome
from tests.conftest import ENVIRONMENT

from truing.demo.pipeline import Config, run
from truing.errors import UserError
from truing.settings import configured

SMALL = ("demo", "--scale", "0.003")


@pytest.fixture
def demo(forked):
    """Run a small demo in a folder of that name."""

    def begin(folder, *words, code=0, fault=""):
        told = forked([*SMALL, *words, "--out", folder.name], ENVIRONMENT | {"TRUING_FAULT": fault}, folder.parent)
        assert told.returncode == code, told.stderr[-2000:]
        return told

    return begin


def test_the_whole_pipeline_in_small_and_broken_off_it_goes_on_to_the_same(demo, tmp_path):
    """Red when stages begin anew: pretraining is done again."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    told = demo(whole)
    summary = every_figure_is_there(whole)
    assert f"{summary['win_rate']:.1%}" in told.stdout and "win rate against SFT" in told.stdout
    with pytest.raises(UserError, match="finished run"):
        run(configured(Config, out=str(whole), scale=0.003))
    demo(broken, fault="kill@minibatch:9", code=-9)
    pretrained = broken / "pretrain" / "model" / "model.safetensors"
    written = pretrained.stat().st_mtime_ns
    told = demo(broken)
    assert pretrained.stat().st_mtime_ns == written and "win rate against SFT" in told.stdout
    assert outcome(broken / "rl") == outcome(whole / "rl")
    assert json.loads((broken / "summary.json").read_text())["win_rate"] == summary["win_rate"]
    told = demo(broken, "--seed", "1", code=2)
    assert "--fresh" in told.stderr


def every_figure_is_there(folder):
    summary = json.loads((folder / "summary.json").read_text())
    low, high = summary["win_rate_interval"]
    assert 0 <= low <= summary["win_rate"] <= high <= 1
    assert {"kl", "entropy", "true_score_before", "true_score_after", "reward_model_ceiling", "minutes"} <= set(summary)
    for stage in ("pretrain", "sft", "sample", "reward", "rl"):
        assert (folder / stage / "summary.json").is_file()
        assert (folder / stage / "report.html").is_file()
    page = (folder / "report.html").read_text()
    assert "win rate against SFT" in page and "<script" not in page
    return summary


@pytest.mark.parametrize(("name", "value"), [("error_rate", 0.5), ("annotators", 0), ("iterations", 0), ("scale", 0)])
def test_impossible_settings_are_refused_by_name(name, value):
    with pytest.raises(UserError, match=f"^{name} = "):
        Config(**{name: value})


def test_an_algorithm_that_is_none_is_refused_before_anything_runs():
    with pytest.raises(UserError, match='"pppo" is not a row of the table; did you mean "ppo"'):
        Config(algorithm="pppo")
