"""A model folder is a stranger's: refused with the reason, in one line, and nothing in it is run.

Red when weights may be read from a pickle file (`use_safetensors=True` left out of loading): the marker appears.
"""

import json
import os
import pickle
import shutil
import struct

import pytest
from safetensors import safe_open

from truing.errors import UserError
from truing.models.loading import load_policy, load_tokenizer


@pytest.fixture
def model(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


def weights_of(folder):
    return next(folder.glob("*.safetensors"))


def refused(folder, *words):
    with pytest.raises(UserError) as error:
        load_policy(str(folder))
    told = str(error.value)
    assert "\n" not in told and str(folder) in told
    assert any(word in told.lower() for word in words), told


def test_a_pickle_checkpoint_is_not_opened(model, tmp_path):
    marker = tmp_path / "it ran"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(marker),)

    weights_of(model).unlink()
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    refused(model, "safetensors")
    assert not marker.exists()


def test_code_in_the_repository_is_not_run(model, tmp_path):
    (model / "evil.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'it ran')!r})\n")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModelForCausalLM": "evil.Model"}}))
    refused(model, "auto_map")
    assert not (tmp_path / "it ran").exists()


def test_code_named_by_the_tokenizer_is_not_run(model, tmp_path):
    (model / "evil.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'it ran')!r})\n")
    path = model / "tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"auto_map": {"AutoTokenizer": ["evil.Tok", "evil.Tok"]}}))
    try:
        load_tokenizer(str(model))
    except UserError as error:
        assert "auto_map" in str(error)
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize("kept", [4, 100, -50])
def test_a_cut_file_is_refused(model, kept):
    path = weights_of(model)
    path.write_bytes(path.read_bytes()[:kept])
    refused(model, "safetensors", "header", "incomplete", "error", "cut")


def test_a_giant_header_is_refused(model):
    weights_of(model).write_bytes(struct.pack("<Q", 2**40) + b"{}")
    refused(model, "header", "safetensors")


def test_a_file_that_is_something_else_is_refused(model):
    weights_of(model).write_bytes(b"<html>not found</html>" * 10)
    refused(model, "header", "safetensors")


def test_broken_json_in_the_configuration_is_refused(model):
    (model / "config.json").write_text('{"model_type": "llama",')
    refused(model, "broken json")


def test_weights_listed_outside_the_folder_are_not_read(model, tmp_path):
    outside = tmp_path / "secret.safetensors"
    shutil.move(weights_of(model), outside)
    with safe_open(outside, "pt") as file:
        names = list(file.keys())
    index = {"metadata": {}, "weight_map": {name: "../secret.safetensors" for name in names}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(model, "outside")


@pytest.mark.parametrize("command", ["sft", "rl", "export"])
def test_whole_commands_refuse_in_one_line_and_leave_no_run(command, model, files, truing, tmp_path):
    weights_of(model).write_bytes(struct.pack("<Q", 2**40) + b"{}")
    words = {
        "sft": ("--data", files / "demonstrations.jsonl"),
        "rl": ("--data", files / "prompts.jsonl", "--reward", "exact"),
        "export": (),
    }[command]
    told = truing(command, "--model", model, *words, "--out", "run", code=2).stderr
    assert str(model) in told.splitlines()[-1] and not (tmp_path / "run").exists()
