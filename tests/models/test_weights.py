import shutil
from pathlib import Path

import pytest

from truing.errors import UserError
from truing.models.weights import check_files, checkpoint_hash


def test_whole_files_pass(tiny_model):
    check_files(Path(tiny_model))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.safetensors", b"1234", r"model\.safetensors: no whole safetensors file: .*; fetch it again"),
        ("model.safetensors.index.json", b"[]", "no index of weights"),
        (
            "model.safetensors.index.json",
            b'{"weight_map": {"a": "../a.safetensors"}}',
            "outside its folder",
        ),
    ],
)
def test_what_is_not_whole_or_lies_elsewhere_is_named(name, content, said, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said):
        check_files(tmp_path)


def test_checkpoint_hash_is_of_the_weights(tiny_model, tmp_path):
    copy = Path(shutil.copytree(tiny_model, tmp_path / "copy"))
    assert checkpoint_hash(copy) == checkpoint_hash(Path(tiny_model)) and len(checkpoint_hash(copy)) == 64
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert checkpoint_hash(copy) != checkpoint_hash(Path(tiny_model))
    assert checkpoint_hash(Path("nobody/hub-id")) == ""
