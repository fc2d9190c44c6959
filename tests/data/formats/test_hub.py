import subprocess
import sys

import datasets
import pytest

from truing.data.formats import hub, read
from truing.data.records import Prompt
from truing.errors import UserError


@pytest.mark.parametrize(
    ("source", "is_id"),
    [
        ("owner/name", True),
        ("owner/name.v2:test", True),
        ("./owner/name", False),
        ("../owner", False),
        ("data/rows.jsonl", False),
        ("data/rows.jsonl.gz", False),
        ("name", False),
    ],
)
def test_hub_ids_are_told_from_paths(source, is_id):
    assert hub.is_id(source) is is_id


def test_a_saved_dictionary_names_its_splits(tmp_path):
    rows = datasets.Dataset.from_list([{"prompt": "one"}])
    datasets.DatasetDict({"test": rows}).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(UserError, match=r"no train split; name one of .*saved/test"):
        read(str(tmp_path / "saved"), (Prompt,))
    assert [p.text for p in read(str(tmp_path / "saved" / "test"), (Prompt,))] == ["one"]


def test_the_hub_is_asked_for_the_split(monkeypatch):
    asked = []

    def load_dataset(name, split):
        asked.append((name, split))
        return datasets.Dataset.from_list([{"prompt": "one", "chosen": None}])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    for source in ("owner/name", "owner/name:test"):
        assert [p.text for p in read(source, (Prompt,), strict=True)] == ["one"]
    assert asked == [("owner/name", "train"), ("owner/name", "test")]


def test_what_the_hub_cannot_give_is_one_line(monkeypatch):
    def load_dataset(name, split):
        raise ConnectionError("no way\nto it")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(
        UserError, match=r"^data owner/name: there is no such file or folder, and the hub gives none: no way$"
    ):
        read("owner/name", (Prompt,))


def test_a_dataset_is_read_without_torch(tmp_path):
    datasets.Dataset.from_list([{"prompt": "one"}]).save_to_disk(str(tmp_path / "saved"))
    code = (
        "import sys; from truing.data.formats import read; from truing.data.records import Prompt; "
        "read(sys.argv[1], (Prompt,)); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "saved")], check=False).returncode == 0
