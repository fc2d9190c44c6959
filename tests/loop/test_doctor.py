import sqlite3

import pytest
import torch
from safetensors.torch import save_file

from truing.errors import UserError
from truing.feedback.store.database import Database
from truing.loop import doctor
from truing.loop.doctor import examine, examine_path, show
from truing.runs import checkpoint
from truing.runs.checkpoint import State
from truing.runs.run import to_json


def verdicts(found):
    return [f.verdict for f in found]


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    (folder / "model").mkdir(parents=True)
    (folder / "config.toml").write_text('stage = "sft"\n')
    (folder / "metrics.jsonl").write_text('{"step": 1}\n')
    (folder / "summary.json").write_text("{}")
    save_file({"w": torch.zeros(9)}, folder / "model" / "model.safetensors")
    return folder


def test_a_machine_that_is_well_ends_with_ok(capsys):
    found = examine([])
    assert {"versions", "sqlite", "free space", "permissions", "threads", "precision"} <= {f.what for f in found}
    assert show(found) and capsys.readouterr().out.splitlines()[-1] == "OK"


def test_a_whole_run_is_ok(run):
    assert set(verdicts(examine_path(str(run)))) == {"ok"}


@pytest.mark.parametrize("name", ["config.toml", "metrics.jsonl", "summary.json", "model/model.safetensors"])
def test_each_damaged_file_is_named_with_what_to_do(run, name, capsys):
    (run / name).write_bytes((run / name).read_bytes()[:-2] + b"{")
    found = [f for f in examine_path(str(run)) if f.verdict == "wrong"]
    assert len(found) == 1 and name in found[0].what and found[0].remedy
    assert not show(found) and "1 thing is wrong" in capsys.readouterr().out


def test_line_ends_within_a_text_are_no_ends_of_rows(run):
    """Only a newline ends a row: Python's splitlines knows eight more characters, which a JSON text may hold."""
    text = "".join(map(chr, (0x0B, 0x0C, 0x1C, 0x1D, 0x1E, 0x85, 0x2028, 0x2029)))
    row = to_json({"step": 1, "phase": "", "prompt": f"a{text}b", "response": text})
    (run / "samples.jsonl").write_text(f"{row}\n{row}\n", encoding="utf-8")
    assert set(verdicts(examine_path(str(run)))) == {"ok"}
    (run / "samples.jsonl").write_text(f"{row}\n{row[:-2]}\n", encoding="utf-8")
    (found,) = [f for f in examine_path(str(run)) if f.verdict == "wrong"]
    assert "row 2" in found.told


def test_a_run_broken_off_tells_whether_it_can_go_on(run):
    (run / "summary.json").unlink()
    assert examine_path(str(run))[-1].verdict == "note"
    for step in (4, 5):
        checkpoint.write(run / "state", State({"w": torch.zeros(2)}, {"step": step}))
    assert "after step 5" in examine_path(str(run))[-1].told
    (checkpoint.saved(run / "state")[0] / "facts.json").write_text("{}")
    found = examine_path(str(run))
    assert found[-2].verdict == "wrong" and "after step 4" in found[-1].told


def test_a_demo_broken_off_tells_of_its_stages(run, tmp_path):
    (tmp_path / "config.toml").write_text('stage = "demo"\n')
    (run / "summary.json").unlink()
    checkpoint.write(run / "state", State({"w": torch.zeros(2)}, {"step": 3}))
    assert [(f.what, f.verdict) for f in examine_path(str(tmp_path))][-1] == ("run: state", "ok")


def test_a_store_is_checked(tmp_path):
    path = str(tmp_path / "feedback.db")
    Database.open(path).close()
    assert set(verdicts(examine_path(path))) == {"ok"}
    with pytest.raises(UserError, match="no such store"):
        examine_path(str(tmp_path / "none.db"))


def test_an_old_sqlite_is_told_with_what_it_means(monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 40, 1))
    assert "lose a label" in next(doctor.sqlite()).told
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    assert next(doctor.sqlite()).verdict == "ok"


def test_something_else_is_refused(tmp_path):
    with pytest.raises(UserError, match="no run's folder"):
        examine_path(str(tmp_path))
