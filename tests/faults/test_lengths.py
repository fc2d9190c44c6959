"""Prompts too long, answers empty or without end, a tokenizer that pads with its end token: told, or no matter.

Broken on purpose: a prompt's length not looked at before learning -> red, the run stops in mid-iteration. The end token
that pads was red when found: torch kept its gradient back.
"""

import json
import shutil

import pytest
from benchmarks.replay import outcome


def warnings(run):
    return json.loads((run / "summary.json").read_text()).get("warnings", [])


def test_prompts_longer_than_the_context_are_told_at_once_and_left_out(stages, files, truing, tmp_path):
    data = tmp_path / "prompts.jsonl"
    long = [json.dumps({"prompt": f"lemon {i} " * 300}) + "\n" for i in range(30)]  # so many that one would be drawn
    data.write_text((files / "prompts.jsonl").read_text() + "".join(long))
    for stage in ("sample", "grpo"):
        words = list(map(str, stages[stage]))
        words[words.index("--data") + 1] = str(data)
        told = truing(*words, "--out", stage).stderr
        assert "leave no room" in told
        assert any("leave no room in the model's context of 96" in line for line in warnings(tmp_path / stage))
    told = truing(*words, "--strict", "--out", "strict", code=2).stderr
    assert "shorten them" in told and not (tmp_path / "strict").exists()


def test_answers_that_never_end_are_told(stages, truing, tmp_path):
    truing(*stages["grpo"], "--sampling.max-new-tokens", "2", "--out", "run")
    assert any("no response ends before the length limit" in line for line in warnings(tmp_path / "run"))


AT_ONCE = """
from truing.generation.local import LocalGenerator
LocalGenerator.end_ids = property(lambda generator: list(range(len(generator.chat.tokenizer))))
"""


def test_answers_that_end_before_they_begin_are_answers(stages, truing, tmp_path):
    """Every token is an end: each response is one token long, and empty or nearly so."""
    truing(*stages["ppo"], "--out", "run", first=AT_ONCE)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(row["response/length"] == 1 and row["response/unfinished"] == 0 for row in rows)
    assert all(value is not None for row in rows for value in row.values())


@pytest.mark.parametrize("stage", ["reward", "ppo"])
def test_padding_with_the_end_token_changes_no_bit(stage, stages, uninterrupted, tiny_model, truing, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    changed = 0
    for name in ("config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json"):
        path = model / name
        if not path.exists():
            continue
        known = json.loads(path.read_text())
        for key, value in (("pad_token_id", known.get("eos_token_id")), ("pad_token", known.get("eos_token"))):
            if key in known and value is not None:
                changed += known[key] != value
                known[key] = value
        path.write_text(json.dumps(known))
    assert changed >= 2
    words = list(map(str, stages[stage]))
    words[words.index("--model") + 1] = str(model)
    truing(*words, "--out", "run")
    ours, whole = outcome(tmp_path / "run"), uninterrupted(stage, truing)
    differ = {name for name in ours | whole if ours.get(name) != whole.get(name)}
    assert differ and all("json, pad_token" in name for name in differ)
