"""Scores that are no numbers, through the whole command: the run stops and names them, or leaves them out and counts.

Broken on purpose: `checked` giving 0 for a text -> red; the moments of scores left out of what is resumed -> red.
"""

import json

import pytest
from benchmarks.replay import outcome

REWARD = """
import math

def score(prompt, response):
    bad = {bad}
    return bad[len(response) % 9] if len(response) % 9 < len(bad) else len(response) / 10
"""


@pytest.fixture
def command(stages, tmp_path):
    """Policy optimisation whose scores are partly these; in `grpo` answers to a prompt are compared."""

    def of(bad, stage="grpo"):
        (tmp_path / "score.py").write_text(REWARD.format(bad=bad))
        words = list(map(str, stages[stage]))
        words[words.index("--reward") + 1] = "score.py:score"
        return words

    return of


@pytest.mark.parametrize(("bad", "shown"), [("math.nan", "nan"), ("None", "None"), ("math.inf", "inf"), ("'7'", "'7'")])
def test_a_bad_score_stops_the_run_and_names_prompt_and_source(bad, shown, command, truing, tmp_path):
    told = truing(*command(f"[{bad}]"), "--out", "run", code=2).stderr
    assert f"reward score.py:score gave {shown} for prompt " in told and "not a finite number" in told
    assert "Traceback" not in told and not (tmp_path / "run" / "metrics.jsonl").exists()


def test_left_out_they_are_counted_told_once_and_a_killed_run_goes_on_the_same(command, truing, tmp_path):
    words = [*command("[math.nan, None, -math.inf, 'good']", "ppo"), "--bad-rewards", "drop"]
    truing(*words, "--out", "whole")
    rows = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert sum(row["reward/dropped"] for row in rows) > 0 and all(row["reward/mean"] is not None for row in rows)
    truing(*words, "--out", "broken", fault="kill@minibatch:23", code=-9)
    truing(*words, "--out", "broken")
    assert outcome(tmp_path / "broken") == outcome(tmp_path / "whole")
    for run in ("whole", "broken"):
        summary = json.loads((tmp_path / run / "summary.json").read_text())
        assert sum("reward/dropped" in line for line in summary["warnings"]) == 1


def test_an_iteration_of_nothing_else_stops(command, truing):
    told = truing(*command("[None] * 9"), "--bad-rewards", "drop", "--out", "run", code=2).stderr
    assert "nothing can be learned" in told and "Traceback" not in told
