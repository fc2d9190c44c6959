import json

import pytest
import torch
from safetensors.torch import load_file

from truing.errors import UserError
from truing.evaluation.export import Config, write


def test_model_is_written_in_the_asked_precision(tiny_model, tmp_path):
    out = tmp_path / "plain"
    assert "bfloat16" in write(Config(str(out), model=tiny_model, dtype="bfloat16"))
    assert all(t.dtype == torch.bfloat16 for t in load_file(out / "model.safetensors").values())
    with pytest.raises(UserError, match="exists already"):
        write(Config(str(out), model=tiny_model))


def test_data_is_written_in_another_layout(tmp_path):
    source = tmp_path / "pairs.jsonl"
    source.write_text(json.dumps({"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}) + "\n")
    assert write(Config(str(tmp_path / "hh.jsonl"), data=(str(source),), to="hh")).startswith("1 rows")
    row = json.loads((tmp_path / "hh.jsonl").read_text())
    assert row == {"chosen": "\n\nHuman: 2 + 2?\n\nAssistant: 4", "rejected": "\n\nHuman: 2 + 2?\n\nAssistant: 5"}


@pytest.mark.parametrize("given", [{}, {"model": "a", "data": ("b",)}])
def test_exactly_one_of_model_and_data(given):
    with pytest.raises(UserError, match="exactly one"):
        Config("out", **given)
