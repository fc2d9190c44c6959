"""A typo, an unknown and a removed setting: the nearest name, exit code 2, and no run's folder.

Broken on purpose: unknown keys of a file passed over -> red.
"""

import pytest


@pytest.mark.parametrize(
    ("given", "key", "said"),
    [
        ("typed", "iteratoins", "iterations"),
        ("typed", "overwrite", "there is no"),  # it was there once and is called fresh now
        ("in a file", "learning.wamrup", "warmup"),
        ("in a file", "zzzz", "valid"),
    ],
)
def test_a_setting_that_is_none(given, key, said, truing, tiny_model, files, tmp_path):
    table, _, name = key.rpartition(".")
    data = (files / "prompts.jsonl").as_posix()
    lines = [f'model = "{tiny_model}"', f'data = ["{data}"]', 'reward = ["exact"]', 'out = "run"']
    words = []
    if given == "typed":
        words = [f"--{key}", "1"]
    else:
        lines += [f"[{table}]"] if table else []
        lines += [f"{name} = 1"]
    (tmp_path / "settings.toml").write_text("\n".join(lines) + "\n")
    told = truing("rl", "--config", "settings.toml", *words, code=2).stderr
    assert said in told and name in told and len(told.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
