import json

import pytest

from truing.demo.pipeline import Config, run
from truing.errors import UserError


def test_the_whole_pipeline_in_small(tmp_path):
    """A little of the work: every stage runs, every figure is there. That they are good is what `make demo` shows."""
    told = run(Config(str(tmp_path / "demo"), scale=0.02, iterations=50))
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    low, high = summary["win_rate_interval"]
    assert 0 <= low <= summary["win_rate"] <= high <= 1 and summary["win_rate"] == told["win_rate"]
    assert {"kl", "entropy", "true_score_before", "true_score_after", "reward_model_ceiling", "minutes"} <= set(summary)
    for stage in ("pretrain", "sft", "sample", "reward", "rl"):
        assert (tmp_path / "demo" / stage / "summary.json").is_file()
        assert (tmp_path / "demo" / stage / "report.html").is_file()
    page = (tmp_path / "demo" / "report.html").read_text()
    assert "win rate against SFT" in page and "<script" not in page
    with pytest.raises(UserError, match="finished run"):
        run(Config(str(tmp_path / "demo"), scale=0.02))


@pytest.mark.parametrize(("name", "value"), [("error_rate", 0.5), ("annotators", 0), ("iterations", 0), ("scale", 0)])
def test_impossible_settings_are_refused_by_name(name, value):
    with pytest.raises(UserError, match=f"^{name} = "):
        Config(**{name: value})
