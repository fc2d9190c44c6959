"""Whole commands, with the words a user types."""

import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import ENVIRONMENT
from tests.journeys.conftest import typed

from truing.commands import TABLE, first_words

EARLIER = Path(__file__).parent / "earlier"
PAIRS = [
    {"prompt": f"What colour is number {i}?", "chosen": "A lemon is yellow.", "rejected": "The dog."} for i in range(24)
]


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, PAIRS)))
    return path


@pytest.fixture
def demos(tmp_path):
    path = tmp_path / "demos.jsonl"
    rows = [{"prompt": pair["prompt"], "completion": pair["chosen"]} for pair in PAIRS]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_help_names_every_command():
    told = typed("--help")
    assert told.returncode == 0 and all(f"  {word} " in told.stdout for word in first_words())
    assert typed().stdout == told.stdout
    assert typed("--version").stdout.startswith("truing ")


def test_help_of_a_command_is_asked_for_either_way_and_shows_hyphens(truing):
    told = truing("help", "sft")
    assert "Fine-tune a language model on demonstrations." in told.stdout
    assert (
        told.stdout == truing("sft", "--help").stdout
        and "--batch-size" in told.stdout
        and "--batch_" not in told.stdout
    )
    assert truing("help").stdout == truing("help", "help").stdout == truing("--help").stdout
    assert truing("help", "feedback", "import").stdout == truing("feedback", "import", "--help").stdout
    assert "The part of a name before its dot may be left out" in told.stdout
    assert 'there is no command "stf"; did you mean "sft"?' in truing("help", "stf").stderr


@pytest.mark.parametrize("command", TABLE)
def test_every_command_explains_its_options(command, truing):
    told = truing(*command.split(), "--help")
    assert told.returncode == 0 and told.stdout.startswith(f"usage: truing {command} ")
    assert "--help" in told.stdout and "Traceback" not in told.stderr
    assert "(default: )" not in told.stdout


def test_no_values_at_all_are_a_default_too(truing):
    told = " ".join(truing("rl", "--help").stdout.replace("│", " ").split())
    assert "Functions of the row to replace, such as advantage reward_to_go, or kl k3. (default: none)" in told


@pytest.mark.parametrize(("chosen", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_help_has_colours_on_a_terminal_unless_they_are_not_wanted(chosen, coloured):
    ours, theirs = pty.openpty()
    told = subprocess.Popen(
        [sys.executable, "-m", "truing", "feedback", "stats", "--help"], stdout=theirs, stderr=theirs,
        env={**{name: value for name, value in ENVIRONMENT.items() if name != "NO_COLOR"}, "TERM": "xterm", **chosen},
    )  # fmt: skip
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # so a terminal says that its other side has gone
        while part := os.read(ours, 4096):
            said += part
    os.close(ours)
    assert told.wait() == 0 and b"--store" in said
    assert (b"\x1b[" in said) == coloured


def test_a_reader_that_goes_away_is_no_error_to_tell():
    told = subprocess.run(
        f"{sys.executable} -m truing rl --help | head -1", shell=True, capture_output=True, text=True, check=False
    )
    assert told.stdout.startswith("usage: truing rl") and told.stderr == ""


def test_a_reader_of_the_list_of_actions_that_goes_away_is_no_error_either():
    told = subprocess.run(
        f"PYTHONUNBUFFERED=1 {sys.executable} -m truing feedback --help | true",
        shell=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.stderr == ""


def test_explain_prints_a_row_in_full(truing):
    told = truing("rl", "--algorithm", "grpo", "--explain")
    assert told.returncode == 0 and "group_norm" in told.stdout and "kl_in_loss" in told.stdout
    told = truing("rl", "--explain", "--override", "clip_high", "0.375", "--choose", "kl", "k2")
    assert told.returncode == 0 and "0.375" in told.stdout and "k2" in told.stdout
    assert "--explain" in truing("rl", "--help").stdout


def test_explain_reads_a_file_of_settings_and_refuses_what_training_would(truing, tmp_path):
    """Red when words are taken out before they are understood: a typo was no mistake then."""
    (tmp_path / "mine.toml").write_text('algorithm = "grpo"\n[override]\nanswers = 3\n')
    told = truing("rl", "--config", "mine.toml", "--explain", "--model", "any")
    assert told.returncode == 0 and told.stdout.startswith("grpo\n") and "answers       3 " in told.stdout
    for words, complaint in (
        (["--explain", "--choos", "kl", "k2"], 'there is no --choos; did you mean "choose"?'),
        (["--explian"], 'there is no --explian; did you mean "explain"?'),
        (["--explain", "--override", "epochs", "0"], "epochs"),
        (["--explain", "--config", "none.toml"], "none.toml: cannot be read"),
    ):
        told = truing("rl", *words)
        assert told.returncode == 2 and complaint in told.stderr and not told.stdout, words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], 'did you mean "train"|valid|did you mean'),
        (["sft", "--model", "m"], "data"),
        (["sft", "--model", "./none", "--data", "DEMOS"], "no such folder"),
        (["sft", "--model", "TINY", "--data", "./none.jsonl"], "no such file or folder"),
        (["sft", "--model", "TINY", "--data", "DEMOS", "--epoch", "2"], "epoch"),
        (["sft", "--model", "TINY", "--data", "DEMOS", "--epochs", "many"], "epochs"),
        (["sft", "--model", "TINY", "--data", "DEMOS", "--epochs", "-1"], "epochs = -1.0: it must be above 0"),
        (
            ["rl", "--model", "TINY", "--data", "PAIRS", "--reward", "exact", "--algorithm", "pppo"],
            'did you mean "ppo"',
        ),
        (
            ["rl", "--model", "TINY", "--data", "PAIRS", "--reward", "exact", "--override", "lamb", "1"],
            'did you mean "lam"',
        ),
        (["rl", "--model", "TINY", "--data", "PAIRS", "--reward", "nothing.py:f"], "there is no file"),
        (["rl", "--explain", "--algorithm", "grp"], 'did you mean "grpo"'),
        (["sft", "--config", "BADTOML"], "lrr"),
        (["report", "./none"], "none"),
        (["report"], "truing report needs RUN; truing report --help explains it"),
        (["completion", "tcsh"], r"invalid choice 'tcsh' .*'bash', 'zsh', 'fish'"),
        (["doctor", "--all"], "there is no --all; truing doctor --help tells what it takes"),
        (["report", "-x"], "there is no -x; truing report --help tells"),
        (["report", "a", "b"], "not understood: b"),
        (["rl", "--explain=1"], "--explain takes no value"),
        (["rl", "--explain", "--override", "kl_in_reward"], "--override: names and their values are needed, in turn"),
        (["sft", "--model", "", "--data", "DEMOS"], "model is empty"),
        (["feedback", "improt"], 'truing feedback improt: there is no such action; did you mean "import"'),
        (["feedback", "export"], "truing feedback export needs --out"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_two(words, said, truing, tiny_model, pairs, demos, tmp_path):
    import re

    (tmp_path / "bad.toml").write_text(f'model = "{tiny_model}"\ndata = ["{demos}"]\n[learning]\nlrr = 1.0\n')
    places = {"TINY": tiny_model, "PAIRS": str(pairs), "DEMOS": str(demos), "BADTOML": str(tmp_path / "bad.toml")}
    told = truing(*[places.get(w, w) for w in words])
    assert told.returncode == 2, told
    lines = [line for line in told.stderr.strip().splitlines() if line]
    assert re.search(said, lines[-1]) and "Traceback" not in told.stderr and len(lines) == 1, told.stderr
    assert not (tmp_path / "runs").exists()


def test_figures_of_one_prompt_end_with_an_open_interval(truing, tiny_model, tmp_path):
    """One prompt says nothing of how prompts differ. Broken on purpose: None formatted as a number -> red."""
    (tmp_path / "one.jsonl").write_text(json.dumps({"prompt": "What colour?"}))
    (tmp_path / "long.py").write_text("def long(prompt, response):\n    return len(response) + 0.5\n")
    told = truing(
        "evaluate", "--model", tiny_model, "--data", str(tmp_path / "one.jsonl"), "--answers", "2",
        "--reward", f"{tmp_path / 'long.py'}:long", "--out", str(tmp_path / "out"), "--max-new-tokens", "4",
    )  # fmt: skip
    assert told.returncode == 0 and "Traceback" not in told.stderr, told.stderr
    assert "(–, –)" in told.stdout and "– to –" in (tmp_path / "out" / "report.html").read_text()


FEW = ["--max-new-tokens", "6"]
SMALL = {
    "sft": ["--max-tokens", "80"],
    "sample": FEW,
    "rl": ["--iterations", "2", "--prompts-per-iteration", "8", *FEW],
    "evaluate": FEW,
    "compare": ["--prompts", "3", *FEW],
    "chat": FEW,
    "label": [*FEW, "--simulate", "1", "--stop-when-done", "--port", "0"],
}
TYPED = {"compare": "=\n" * 9, "chat": "hello\n/quit\n"}


@pytest.fixture
def commands(truing):
    """Run the commands of a text, each with the flags that make it small."""

    def run(lines):
        for line in lines.splitlines():
            words = line.partition("#")[0].split()[1:]
            words += [] if "--explain" in words else SMALL.get(words[0], [])
            told = truing(*words, stdin=TYPED.get(words[0], ""))
            assert told.returncode == 0, (line, told.stderr)
            assert words[0] != "chat" or len(told.stdout.splitlines()) >= 2

    return run


MORE = """\
truing rl --model runs/sft --data runs/sample --reward regex:e --algorithm grpo --lora-rank 2 --out runs/grpo
truing export --model runs/grpo --out plain
truing report runs/ppo
truing compare --model runs/ppo --against runs/sft --data prompts.jsonl --judge runs/reward --out runs/duel
truing rl --config runs/ppo/config.toml --out runs/again
"""


def test_the_commands_of_an_earlier_readme_run_and_others_after_them(commands, tiny_model, pairs, demos, tmp_path):
    """Each as it stood there, but for the flags that make it small and one folder that would be there already."""
    (tmp_path / "my-model").symlink_to(tiny_model)
    for path, name in ((demos, "demonstrations"), (pairs, "comparisons"), (pairs, "prompts")):
        (tmp_path / f"{name}.jsonl").write_text(path.read_text())
    commands(
        (EARLIER / "commands.txt").read_text().replace("feedback.db --out runs/reward", "feedback.db --out runs/own")
    )
    commands(MORE)
    for run in ("sft", "sample", "reward", "ppo", "evaluate", "compare", "own", "grpo", "duel", "again"):
        for name in ("config.toml", "summary.json", "report.html"):
            assert (tmp_path / "runs" / run / name).stat().st_size > 0, (run, name)
    assert list((tmp_path / "runs" / "ppo" / "events").iterdir())
    rows = [json.loads(line) for line in (tmp_path / "runs" / "ppo" / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 2 and {"reward/mean", "kl/per_response", "policy/entropy", "tug/reward"} <= set(rows[0])


def test_an_earlier_run_is_not_harmed_by_a_mistake(truing, tiny_model, demos, tmp_path):
    words = ["sft", "--model", tiny_model, "--data", demos, "--max-tokens", "80", "--out", "sft"]
    assert truing(*words).returncode == 0
    before = {p: p.read_bytes() for p in sorted((tmp_path / "sft").rglob("*")) if p.is_file()}
    assert truing(*words).returncode == 2
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{")
    told = truing("sft", "--model", tiny_model, "--data", bad, "--out", "sft", "--fresh")
    assert told.returncode == 2 and "broken JSON" in told.stderr
    assert before == {p: p.read_bytes() for p in sorted((tmp_path / "sft").rglob("*")) if p.is_file()}


@pytest.mark.parametrize(("chosen", "spins"), [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_threads_that_wait_soon_leave_the_core_to_others(chosen, spins):
    """GNU's OpenMP itself tells what it took. Red when torch is loaded before the command has chosen."""
    told = typed("sft", "--help", environment={**os.environ, "OMP_DISPLAY_ENV": "verbose", **chosen})
    if "GOMP_SPINCOUNT" not in told.stderr:
        pytest.skip("another OpenMP than GNU's")
    assert f"GOMP_SPINCOUNT = '{spins}'" in told.stderr
