"""`make replay`: whatever two trees compute differently is found, and named by the first figure that differs."""

import json
import shutil
import textwrap
from contextlib import contextmanager
from functools import partial

import pytest
import torch
from benchmarks import replay, revision
from safetensors.torch import save_file


@pytest.fixture
def planted(tmp_path):
    """A copy of the source in which rows are shuffled with other seeds."""
    source = tmp_path / "planted"
    shutil.copytree(revision.ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__"))
    path = source / "src" / "truing" / "data" / "seeds.py"
    text = path.read_text()
    assert text.count("seed * 1_000_003") == 1
    path.write_text(text.replace("seed * 1_000_003", "seed * 1_000_033"))
    return source


def test_a_planted_seed_is_found_where_it_first_acts(planted, tmp_path):
    lines = []
    with (
        replay.tree_at("before", revision.ROOT, tmp_path / "before") as before,
        replay.tree_at("here", planted, tmp_path / "here") as here,
        pytest.raises(replay.DifferenceError, match=r"^pretrain: update 1, loss/nll: [\d.]+ before, [\d.]+ now$"),
    ):
        replay.replay((before, here), ["pretrain"], lines.append)
    assert not lines


BEFORE = {
    "update 1, loss": 1.5,
    "update 2, loss": float("nan"),
    "model/model.safetensors, head": "float32 (2,) ab",
}


def test_new_figures_are_listed_and_what_is_the_same_is_the_same():
    assert replay.compare("sft", BEFORE, BEFORE) == []
    assert replay.compare("sft", BEFORE, BEFORE | {"update 1, new": 1, "update 2, new": 1}) == ["new"]


@pytest.mark.parametrize(
    ("here", "line"),
    [
        (BEFORE | {"update 1, loss": 1.5000001}, "sft: update 1, loss: 1.5 before, 1.5000001 now"),
        (BEFORE | {"update 2, loss": 0.0}, "sft: update 2, loss: NaN before, 0.0 now"),
        (BEFORE | {"update 1, loss": "1.5"}, 'sft: update 1, loss: 1.5 before, "1.5" now'),
        ({k: v for k, v in BEFORE.items() if "2" not in k}, "sft: update 2, loss: NaN before, missing now"),
        (BEFORE | {"update 3, loss": 1.5}, "sft: update 3, loss: 1.5 now, not there before"),
        (BEFORE | {"model/model.safetensors, x": "a"}, 'sft: model/model.safetensors, x: "a" now, not there before'),
    ],
)
def test_the_first_difference_is_named(here, line):
    with pytest.raises(replay.DifferenceError) as found:
        replay.compare("sft", BEFORE, here)
    assert str(found.value) == line


HEAD = torch.tensor([1.0, 2.0])
OTHERS = {
    "a bit": {"head": torch.nextafter(HEAD, torch.tensor(9.0))},
    "type": {"head": HEAD.double()},
    "shape": {"head": HEAD[None]},
    "sign of zero": {"body": torch.tensor([-0.0])},
    "one tensor more": {"tail": HEAD.clone()},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_weights_differ_by_the_bit(other, tmp_path):
    """Broken on purpose: no tensor hashed, or each by its name alone -> red."""
    weights = {"head": HEAD, "body": torch.tensor([0.0])}
    for run, some in (("before", weights), ("again", weights), ("here", weights | other)):
        (tmp_path / run / "model").mkdir(parents=True)
        save_file(some, tmp_path / run / "model" / "model.safetensors")
    before, again, here = (replay.outcome(tmp_path / run) for run in ("before", "again", "here"))
    assert before == again and len(before) == 2
    with pytest.raises(replay.DifferenceError, match=f"model/model.safetensors, {next(iter(other))}: "):
        replay.compare("sft", before, here)


def test_what_is_saved_beside_weights_is_compared_and_the_state_is_not(tmp_path):
    for folder in ("model", "state"):
        (tmp_path / folder).mkdir()
        save_file({"head": HEAD}, tmp_path / folder / "model.safetensors")
        settings = {"scale": 0.5, "base": f"{tmp_path.parent}/pretrain/model"}
        (tmp_path / folder / "config.json").write_text(json.dumps(settings))
    found = replay.outcome(tmp_path)
    assert found.pop("model/model.safetensors, head").startswith("torch.float32 (2,) ")
    assert found == {"model/config.json, scale": 0.5, "model/config.json, base": "/pretrain/model"}


def test_a_run_of_which_nothing_came_is_no_success():
    with pytest.raises(replay.DifferenceError, match="nothing came out"):
        replay.compare("sft", {}, {})


def test_renamed_metrics_are_compared_and_times_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr("truing.evaluation.report.RENAMED", {"kl/old": "kl/new"})
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 7, "kl/old": 0.5, "time/learn_s": 3.2, "time_s": 1, "rate/x": 2}\n'
    )
    (tmp_path / "summary.json").write_text('{"time_s": 4.0, "reward": 2}')
    assert replay.outcome(tmp_path) == {"update 1, step": 7, "update 1, kl/new": 0.5, "summary, reward": 2}


def test_a_step_that_was_logged_twice_and_a_text_of_two_lines_are_seen(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 9}\n{"step": 1, "loss": 2}\n')
    (tmp_path / "samples.jsonl").write_text('{"response": "a\u2028b"}\n', encoding="utf-8")
    once = {"update 1, step": 1, "update 1, loss": 9, "samples.jsonl row 1, response": "a\u2028b"}
    assert replay.outcome(tmp_path) == once | {"update 2, step": 1, "update 2, loss": 2}


@pytest.fixture
def stub(tmp_path):
    """A tree whose command runs this code instead."""

    @contextmanager
    def made(code):
        package = tmp_path / "src" / "truing"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "cli.py").write_text("def main(argv):\n" + textwrap.indent(code, "    "))
        with replay.tree_at("stub", tmp_path, tmp_path / "runs", prepare="") as one:
            yield one

    return made


@pytest.mark.parametrize(
    ("code", "fault", "line"),
    [
        ("import sys; print('no luck', file=sys.stderr); sys.exit(2)", "", r"sft \(stub\) ended with 2: no luck"),
        ("raise ValueError('a fault of ours')", "", r"sft \(stub\) ended with 1: ValueError: a fault of ours"),
        ("import os; os.kill(os.getpid(), 9)", "", r"sft \(stub\) ended with -9: no output"),
        ("print('finished')", "kill@minibatch:20", r"sft \(stub\) ended with 0: finished"),
    ],
)
def test_a_command_that_ends_otherwise_than_it_should_is_named(code, fault, line, stub):
    with stub(code) as tree, pytest.raises(replay.FailedError, match=line):
        replay.run([tree], "sft", fault)


def test_a_command_that_hangs_is_killed(stub, monkeypatch):
    started, begin = [], replay.Tree.begin
    monkeypatch.setattr(replay, "LIMIT_S", 0.5)
    monkeypatch.setattr(replay.Tree, "begin", lambda *given: started.append(begin(*given)) or started[-1])
    with (
        stub("import time; time.sleep(600)") as tree,
        pytest.raises(replay.FailedError, match="sft: still at work after"),
    ):
        replay.run([tree], "sft")
    assert [command.codes for command in started] == [[-9]]


RESUMES = """
import json, os, pathlib, signal, sys, time
out = pathlib.Path(argv[-1])
out.mkdir(exist_ok=True)
path = out / "metrics.jsonl"
if path.exists() and refuses:
    print("state: saved by Truing 0.0.1 in format 1", file=sys.stderr)
    sys.exit(2)
if not path.exists() or begins_anew:
    path.write_text(json.dumps({"step": 1, "time_s": time.time()}))
if "TRUING_FAULT" in os.environ:
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("resumed", [replay.run_resumed, lambda trees, name: replay.run_carried(trees * 2, name)])
def test_a_run_that_begins_anew_is_not_resumed(resumed, stub, monkeypatch):
    """Its first update has another time than before the kill."""
    monkeypatch.setattr("shutil.copytree", lambda source, target: None)  # the two trees of the second are one
    code = "begins_anew, refuses = True, False\n" + RESUMES
    with stub(code) as tree, pytest.raises(replay.FailedError, match="was not resumed"):
        resumed([tree], "resumed")


def test_a_run_that_keeps_its_first_updates_is_resumed(stub):
    with stub("begins_anew, refuses = False, False\n" + RESUMES) as tree:
        replay.run_resumed([tree], "resumed")


def test_a_state_of_another_version_may_be_refused_by_its_name(stub, monkeypatch):
    monkeypatch.setattr("shutil.copytree", lambda source, target: None)
    with stub("begins_anew, refuses = False, True\n" + RESUMES) as tree:
        assert replay.run_carried([tree, tree], "carried").endswith("saved by Truing 0.0.1 in format 1")
        with pytest.raises(replay.FailedError, match="saved by Truing"):
            replay.run_resumed([tree], "resumed")


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (None, 0, "replay: same as "),
        (replay.DifferenceError("sft: x"), 1, "replay: different: sft: x\n"),
        (replay.FailedError("sft ended"), 1, "replay: not compared: sft ended\n"),
    ],
)
def test_the_exit_status_and_that_only_runs_that_differ_are_kept(raised, code, line, tmp_path, monkeypatch, capsys):
    def replayed(trees, runs, log):
        assert [(tree.folder / "prompts.jsonl").is_file() for tree in trees] == [True, True]
        assert runs == ["pretrain", "sample"]
        if raised:
            raise raised

    monkeypatch.setattr(replay, "replay", replayed)
    monkeypatch.setattr(replay, "tree_at", partial(replay.tree_at, prepare=""))  # runs nothing: loads nothing
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert replay.main(["HEAD", "--only", "sample"]) == code
    assert line in "".join(capsys.readouterr())
    kept = list(tmp_path.iterdir())
    assert len(kept) == (code != 0) and not any((folder / "tree").exists() for folder in kept)


def test_a_run_needs_those_whose_folders_it_reads():
    assert replay.needed(["sample"]) == {"pretrain", "sample"}
    assert "ppo" in replay.needed(["resumed"]) and "reward" in replay.needed(["carried-reward"])
    assert replay.needed(["evaluate"]) >= {"pretrain", "sft", "reward", "ppo", "evaluate"}


def test_a_revision_lies_in_a_worktree_for_as_long_as_it_is_used(tmp_path):
    commit = revision.commit_of("HEAD")
    with revision.worktree(commit, tmp_path / "tree") as folder:
        assert (folder / "src" / "truing" / "cli.py").is_file()
    assert not folder.exists()


def test_a_commit_that_is_none_is_refused_before_anything_runs(capsys):
    with pytest.raises(SystemExit) as ended:
        replay.main(["no-such-commit"])
    assert ended.value.code == 2
    assert "no-such-commit: git knows no such commit here" in capsys.readouterr().err
