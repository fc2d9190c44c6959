import threading
import time
from dataclasses import dataclass

import pytest
import torch
from tests.conftest import PATIENCE_S

from truing.errors import UserError
from truing.runs import checkpoint, resume
from truing.runs.resume import Draws, Facts, Keeper, Weights, fingerprint
from truing.runs.run import Run
from truing.runs.settings import RunSettings
from truing.runs.signals import Stopped


@dataclass(frozen=True)
class Config:
    lr: float = 0.1


def settings(folder, save_state_s=0.0, **more):
    return RunSettings(str(folder), save_state_s=save_state_s, **more)


def saved_run(folder, steps=2, data="d"):
    generator, value = torch.Generator().manual_seed(1), {"x": 1}
    with Run.open(settings(folder), Config(), "rl") as run:
        parts = {"draws": Draws(generator), "value": Facts(lambda: value, value.update)}
        with Keeper(run, parts, data) as kept:
            for step in range(1, steps + 1):
                torch.rand(3, generator=generator)
                value["x"] = step
                run.log(step, loss=step)
                kept.passed(step)
            run.log(99, loss=99)  # written after the last save: cut off when the run goes on
    return torch.rand(3, generator=generator), kept


def go_on(folder, data="d", allow_inexact=False):
    generator, value = torch.Generator(), {"x": 0}
    with Run.open(settings(folder, allow_inexact=allow_inexact), Config(), "rl") as run:
        parts = {"draws": Draws(generator), "value": Facts(lambda: value, value.update)}
        done = Keeper(run, parts, data).resume()
    return done, value["x"], torch.rand(3, generator=generator)


def test_what_was_saved_is_put_back_and_later_rows_are_cut_off(tmp_path):
    next_draw, kept = saved_run(tmp_path / "r")
    done, value, draw = go_on(tmp_path / "r")
    assert (done, value) == (2, 2) and torch.equal(draw, next_draw)
    assert "99" not in (tmp_path / "r" / "metrics.jsonl").read_text()
    assert kept.cost["states_saved"] == 2


def test_without_a_state_a_run_begins_at_its_beginning(tmp_path):
    assert go_on(tmp_path / "new")[:2] == (0, 0)


def test_a_broken_newest_state_is_told_and_the_one_before_is_taken(tmp_path, capsys):
    saved_run(tmp_path / "r")
    newest = sorted((tmp_path / "r" / "state").iterdir())[-1]
    (newest / "facts.json").write_text("{}")
    assert go_on(tmp_path / "r")[0] == 1
    assert "passed over" in capsys.readouterr().err


def test_another_machine_is_named_and_must_be_allowed(tmp_path, monkeypatch):
    saved_run(tmp_path / "r")
    here = resume.machine()
    monkeypatch.setattr(resume, "machine", lambda: {**here, "threads": 64})
    with pytest.raises(UserError, match=r"threads \d+ then, 64 now; give --allow-inexact"):
        go_on(tmp_path / "r")
    assert go_on(tmp_path / "r", allow_inexact=True)[0] == 2


def test_a_state_of_another_format_is_refused_by_the_version_that_wrote_it(tmp_path, monkeypatch):
    """One without a format, as they were written first, is of the first."""
    saved_run(tmp_path / "r")
    home = tmp_path / "r" / "state"
    state, _ = checkpoint.newest(home)
    state.facts.pop("format")
    state.facts["machine"]["truing"] = "0.0.9"
    checkpoint.write(home, state)
    monkeypatch.setattr(resume, "FORMAT", 2)
    with pytest.raises(UserError, match=r"saved by Truing 0\.0\.9 in format 1, and Truing \S+ reads format 2"):
        go_on(tmp_path / "r", allow_inexact=True)
    monkeypatch.setattr(resume, "FORMAT", 1)
    assert go_on(tmp_path / "r", allow_inexact=True)[0] == 2


@pytest.mark.parametrize("more", [False, True])
def test_a_state_of_other_parts_is_refused_by_the_version_that_wrote_it(tmp_path, more):
    """Red when only what is missing counts: a part that nobody puts back would be lost in silence."""
    saved_run(tmp_path / "r")
    state, _ = checkpoint.newest(tmp_path / "r" / "state")
    state.facts["machine"]["truing"], parts = "0.0.9", state.facts["parts"]
    if more:
        parts["old"] = {}
    else:
        parts.popitem()
    checkpoint.write(tmp_path / "r" / "state", state)
    with pytest.raises(UserError, match=r"saved by Truing 0\.0\.9 with other parts than Truing \S+ saves: finish"):
        go_on(tmp_path / "r", allow_inexact=True)


def test_other_data_are_refused_with_both_fingerprints(tmp_path):
    saved_run(tmp_path / "r", data="aaaa")
    with pytest.raises(UserError, match=r"aaaa then, bbbb now"):
        go_on(tmp_path / "r", data="bbbb")


def test_the_clock_set_back_a_day_changes_nothing(tmp_path, monkeypatch):
    """Red when times of day decide when to save."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 86_400)
    saved_run(tmp_path / "r", steps=3)
    assert go_on(tmp_path / "r")[0] == 3


def test_a_signal_saves_whatever_the_clock_says(tmp_path):
    with Run.open(settings(tmp_path / "r", -1.0), Config(), "rl") as run, Keeper(run, {}, "d") as kept:
        kept.passed(1)
        assert not (tmp_path / "r" / "state").exists()
        kept.stopping.asked = 15
        with pytest.raises(Stopped) as stopped:
            kept.passed(2)
    assert stopped.value.code == 143
    state, _ = checkpoint.newest(tmp_path / "r" / "state")
    assert state.facts["step"] == 2


@pytest.fixture
def slow_disk(monkeypatch):
    """States are written only once `go` is set; `full` makes the disk full."""
    go, full, real = threading.Event(), threading.Event(), checkpoint.write

    def write(home, state):
        go.wait(PATIENCE_S)
        if full.is_set():
            raise UserError("make room")
        return real(home, state)

    monkeypatch.setattr(checkpoint, "write", write)
    return go, full


def test_training_goes_on_while_a_state_is_written_and_leaving_waits(tmp_path, slow_disk):
    """Broken on purpose: the state not copied, or the keeper left without waiting -> red."""
    go, _ = slow_disk
    weight, value = torch.nn.Linear(2, 2), {"x": [1]}
    with Run.open(settings(tmp_path / "r"), Config(), "rl") as run:
        with Keeper(run, {"w": Weights(weight), "v": Facts(lambda: value, value.update)}, "d") as kept:
            before = weight.weight.detach().clone()
            kept.passed(1)
            weight.weight.data += 1
            value["x"].append(2)
            assert checkpoint.saved(tmp_path / "r" / "state") == []
            threading.Timer(0.05, go.set).start()
        state, _ = checkpoint.newest(tmp_path / "r" / "state")
    assert torch.equal(state.tensors["w/weight"], before) and state.facts["parts"]["v"] == {"x": [1]}
    assert kept.cost["states_saved"] == 1 and kept.cost["saving_s"] >= 0.04 and kept.cost["saving_held_s"] >= 0.04


def test_a_signal_waits_until_all_is_written(tmp_path, slow_disk):
    go, _ = slow_disk
    with Run.open(settings(tmp_path / "r"), Config(), "rl") as run, Keeper(run, {}, "d") as kept:
        kept.stopping.asked = 15
        threading.Timer(0.05, go.set).start()
        with pytest.raises(Stopped):
            kept.passed(1)
        assert len(checkpoint.saved(tmp_path / "r" / "state")) == 1


def test_a_full_disk_is_told_at_the_next_save_or_at_the_end(tmp_path, slow_disk, capsys):
    """Broken on purpose: the writer's error dropped -> red."""
    go, full = slow_disk
    go.set(), full.set()
    with Run.open(settings(tmp_path / "r"), Config(), "rl") as run:
        with pytest.raises(UserError, match="make room"), Keeper(run, {}, "d") as kept:
            kept.passed(1)
            kept.passed(2)
            raise AssertionError("the second save tells what became of the first")
        with pytest.raises(UserError, match="make room"), Keeper(run, {}, "d") as kept:
            kept.passed(1)
        with pytest.raises(KeyError), Keeper(run, {}, "d") as kept:
            kept.passed(1)
            raise KeyError  # what ended the run is told, and the other beside it
    assert "could not be written: make room" in capsys.readouterr().err


def test_where_memory_holds_no_copy_the_training_waits(tmp_path, monkeypatch, slow_disk):
    go, _ = slow_disk
    monkeypatch.setattr(resume, "free_bytes", lambda: 0)
    monkeypatch.setattr(checkpoint, "frozen", lambda state: pytest.fail("copied"))
    with Run.open(settings(tmp_path / "r"), Config(), "rl") as run, Keeper(run, {}, "d") as kept:
        threading.Timer(0.05, go.set).start()
        kept.passed(1)
        assert len(checkpoint.saved(tmp_path / "r" / "state")) == 1


def test_fingerprints_differ_where_anything_differs():
    x = torch.arange(4)
    prints = [
        fingerprint(x),
        fingerprint(x.flip(0)),
        fingerprint(["a", "b"]),
        fingerprint(["ab"]),
        fingerprint(["a"], ["b"]),
    ]
    assert len(set(prints)) == 5 and fingerprint(x.clone()) == prints[0]
