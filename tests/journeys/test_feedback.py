"""From a page to a policy, by whole commands; and wrong ones."""

import json
import re
import tomllib

import pytest
from tests.journeys.conftest import typed


def said(told):
    assert told.returncode == 0, told.stderr
    return told.stdout


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": f"What colour is number {i}?"}) for i in range(16)))
    return path


def test_label_then_reward_then_rl(truing, tiny_model, prompts, tmp_path):
    """The documented sequence: simulated people judge live answers, and what they said trains the next policy."""
    store = tmp_path / "feedback.db"
    shown = said(
        typed(
            "label", "--store", store, "--prompts", prompts, "--model", tiny_model, "--simulate", 5, "--overlap", 3,
            "--max-new-tokens", 8, "--stop-when-done", "--port", 0,
        )
    )  # fmt: skip
    assert re.search(r"Judge at http://127.0.0.1:\d+/setup/\S{40}", shown)
    assert "5 simulated annotators gave 48 judgements" in shown
    stats = said(truing("feedback", "stats", "--store", store))
    assert "48 of 48 wanted" in stats
    assert sum(int(judged) for judged in re.findall(r"simulated-\d +(\d+) judged", stats)) == 48
    figures = json.loads(said(truing("feedback", "stats", "--store", store, "--json")))
    assert figures["agreement"]["items"] > 0 and len(figures["people"]) == 5
    out = tmp_path / "reward"
    said(truing("reward", "--model", tiny_model, "--data", store, "--out", out, "--held-out", "0.3"))
    config, summary = tomllib.loads((out / "config.toml").read_text()), json.loads((out / "summary.json").read_text())
    assert re.fullmatch(rf"{store}#[0-9a-f]{{16}}", config["data"][0])
    assert summary["judgements"] > 0 and "new_annotators_accuracy" in summary
    # The run's own settings repeat it, though more has been said meanwhile.
    said(truing("feedback", "import", "--store", store, "--data", _more(tmp_path)))
    again = tmp_path / "again"
    said(truing("reward", "--config", out / "config.toml", "--out", again))
    assert json.loads((again / "summary.json").read_text())["judgements"] == summary["judgements"]
    assert (again / "model" / "model.safetensors").read_bytes() == (out / "model" / "model.safetensors").read_bytes()
    said(
        truing(
            "rl", "--model", tiny_model, "--data", prompts, "--reward", out, "--iterations", 1,
            "--prompts-per-iteration", 4, "--max-new-tokens", 8, "--out", tmp_path / "rl",
        )
    )  # fmt: skip
    assert (tmp_path / "rl" / "report.html").is_file()


def _more(folder):
    path = folder / "more.jsonl"
    path.write_text(json.dumps({"prompt": "More?", "chosen": "Yes.", "rejected": "No."}))
    return path


def test_import_round_snapshot_export_backup(truing, tmp_path):
    rows = [{"prompt": f"q{i}", "chosen": "A", "rejected": "B"} for i in range(3)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    here = ("--store", tmp_path / "feedback.db")
    assert "3 Comparison" in said(truing("feedback", "import", "--data", tmp_path / "pairs.jsonl", *here))
    assert "3 already there" in said(truing("feedback", "import", "--data", tmp_path / "pairs.jsonl", *here))
    assert "round 1 is open" in said(truing("feedback", "round", "--action", "open", *here))
    told = said(truing("feedback", "round", "--action", "close", *here))
    frozen = re.search(r"snapshot (\w{16}), 3 judgements", told)[1]
    assert f"closed, snapshot {frozen}" in said(truing("feedback", "round", *here))
    assert frozen in said(truing("feedback", "snapshot", *here))
    out = tmp_path / "out.parquet"
    assert "3 rows" in said(truing("feedback", "export", "--out", out, "--to", "trl", "--snapshot", frozen, *here))
    assert json.loads((tmp_path / "out.parquet.manifest.json").read_text())["snapshot"] == frozen
    assert "2 judgements will be reviewed" in said(truing("feedback", "review", "--count", 2, *here))
    said(truing("feedback", "backup", "--out", tmp_path / "copy.db", *here))
    assert "3 already there" in said(
        truing("feedback", "import", "--data", tmp_path / "pairs.jsonl", "--store", tmp_path / "copy.db")
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("feedback",), "usage: truing feedback"), (("feedback", "improt"), 'did you mean "import"?'),
        (("feedback", "stats", "--store", "no.db"), "no.db: there is no such store"),
        (("feedback", "stats", "--stroe", "x"), "did you mean"),
        (("feedback", "export", "--store", "no.db"), "needs --out"),
        (("feedback", "import", "--data", "no.jsonl"), "there is no such file"),
        (("reward", "--model", "x", "--data", "no.db"), "no.db: there is no such store"),
        (("label", "--kind", "pear"), "pear"), (("label", "--prompts", "no.jsonl"), "there is no such file"),
        (("label", "--host", "0.0.0.0"), "others could come in"), (("label", "--port", "99999"), "0 to 65535"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line(words, said, truing):
    told = truing(*words)
    assert told.returncode == 2 and "Traceback" not in told.stderr
    assert said in told.stderr + told.stdout


@pytest.mark.parametrize("action", ["import", "export", "stats", "snapshot", "backup", "round", "review"])
def test_every_action_explains_its_options(action, truing):
    assert "--store" in said(truing("feedback", action, "--help"))
