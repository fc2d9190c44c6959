"""A demo broken off goes on with the stage it was in. Red when stages begin anew: pretraining is done again."""

import json

from tests.faults.conftest import outcome

SMALL = ("demo", "--scale", "0.02", "--iterations", "50")


def test_a_demo_broken_off_goes_on_and_ends_in_the_same(truing, tmp_path):
    truing(*SMALL, "--out", "whole")
    truing(*SMALL, "--out", "broken", fault="kill@minibatch:9", code=-9)
    pretrained = tmp_path / "broken" / "pretrain" / "model" / "model.safetensors"
    written = pretrained.stat().st_mtime_ns
    told = truing(*SMALL, "--out", "broken")
    assert pretrained.stat().st_mtime_ns == written and "win rate against SFT" in told.stdout
    assert outcome(tmp_path / "broken" / "rl") == outcome(tmp_path / "whole" / "rl")
    rates = [json.loads((tmp_path / name / "summary.json").read_text())["win_rate"] for name in ("whole", "broken")]
    assert rates[0] == rates[1]
    told = truing(*SMALL, "--seed", "1", "--out", "broken", code=2)
    assert "--fresh" in told.stderr
