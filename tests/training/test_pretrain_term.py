import json

from tests.training.test_policy import config_of, vowels

from truing.training.policy import train


def test_pretraining_term_keeps_demonstrations_likely(tiny_model, tmp_path):
    demos = tmp_path / "demos.jsonl"
    demos.write_text("\n".join(json.dumps({"prompt": f"Number {i}?", "completion": "zzz"}) for i in range(12)))
    config = config_of(tiny_model, tmp_path, pretrain_data=(str(demos),), pretrain_weight=1.0, iterations=3)
    train(config, vowels)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["loss/pretrain"] < rows[0]["loss/pretrain"]
