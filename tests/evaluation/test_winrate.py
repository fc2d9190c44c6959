import json

import pytest

from truing.data.records import Message, Prompt, Response
from truing.errors import UserError
from truing.evaluation.judge import by_reward
from truing.evaluation.winrate import Config, evaluate, win_rate
from truing.generation.sampling import Sampling

PROMPTS = [Prompt((Message("user", str(i)),)) for i in range(40)]


def length(prompts, responses):
    return [float(len(r.text)) for r in responses]


def test_win_rate_counts_ties_a_half():
    ours = [Response("aaa")] * 20 + [Response("aa")] * 10 + [Response("a")] * 10
    told = win_rate(by_reward(length), PROMPTS, ours, [Response("aa")] * 40)
    assert (told["wins"], told["ties"], told["losses"]) == (20, 10, 10)
    assert told["win_rate"] == pytest.approx(25 / 40)
    low, high = told["win_rate_interval"]
    assert 0.4 < low < 0.625 < high < 0.8


def test_a_policy_against_itself_wins_half(tiny_model, tmp_path):
    data = tmp_path / "prompts.jsonl"
    data.write_text("\n".join(json.dumps({"prompt": f"What colour is number {i}?"}) for i in range(60)))
    config = Config(
        tiny_model,
        tiny_model,
        (str(data),),
        ("regex:[aeiou]",),
        str(tmp_path / "out"),
        sampling=Sampling(max_new_tokens=6),
    )
    told = evaluate(config)
    low, high = told["win_rate_interval"]
    assert low < 0.5 < high
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["win_rate"] == told["win_rate"]
    rows = [json.loads(line) for line in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()]
    assert len(rows) == 120 and {r["phase"] for r in rows} == {"before", "after"}


def test_settings_are_checked():
    with pytest.raises(UserError, match="answers = 0"):
        Config("a", "b", ("c",), answers=0)
