import json

import pytest
import torch
from safetensors.torch import load_file

from truing.data import formats
from truing.data.records import Comparison, Message, Prompt
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


def test_layouts_without_a_criterion_hold_judgements_on_one(tmp_path, capsys):
    """Broken on purpose: all of them -> red, with rows that contradict each other."""
    prompt, source = Prompt((Message("user", "hi"),)), str(tmp_path / "judged.jsonl")
    records = [Comparison(prompt, "a", "b", criterion="helpful"), Comparison(prompt, "b", "a", criterion="harmless")]
    for more, criterion, chosen in ((), "harmless", "b"), ([Comparison(prompt, "a", "b")], "", "a"):
        formats.write([*records, *more], source)
        write(Config(str(tmp_path / "trl.jsonl"), data=(source,), criterion=criterion))
        (row,) = map(json.loads, (tmp_path / "trl.jsonl").read_text().splitlines())
        assert row["chosen"][0]["content"] == chosen and "left out" in capsys.readouterr().out
    with pytest.raises(UserError, match="native rows name the criterion"):
        Config("out", data=(source,), to="native", criterion="helpful")


@pytest.mark.parametrize("given", [{}, {"model": "a", "data": ("b",)}])
def test_exactly_one_of_model_and_data(given):
    with pytest.raises(UserError, match="exactly one"):
        Config("out", **given)


def test_data_are_not_written_over_themselves(tmp_path):
    source = tmp_path / "pairs.jsonl"
    source.write_text('{"prompt": "x", "chosen": "a", "rejected": "b"}\n')
    with pytest.raises(UserError, match="this is the data: choose another file"):
        write(Config(str(source), data=(f"{tmp_path}/../{tmp_path.name}/pairs.jsonl",)))
    assert "chosen" in source.read_text()
