"""What was typed and written for an earlier version is understood until 0.2: its settings and its runs. `earlier/`
holds what that version had: the config.toml of a run of each stage, and its README's commands (which
test_commands.py runs)."""

import tomllib
from pathlib import Path

import pytest

from truing.commands import TABLE
from truing.config import parse
from truing.errors import UserError
from truing.runs.run import Run, is_finished
from truing.settings import FORMER, changed, to_toml

EARLIER = Path(__file__).parent / "earlier"
SETTINGS = sorted(EARLIER.glob("*.toml"))


def settings_of(path, capsys):
    """What today's version reads in a file, and what it says of it."""
    stage = path.stem
    capsys.readouterr()
    config = parse(TABLE[stage].settings, ["--config", str(path)], f"truing {stage}")
    return config, capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.stem)
def test_settings_of_an_earlier_version_are_read_to_the_same_and_new_names_told_once(path, capsys):
    written = tomllib.loads(path.read_text())
    config, said = settings_of(path, capsys)
    former = [name for name in written if name in FORMER]
    assert [line.split()[1] for line in said] == former
    expected = {FORMER.get(name, name): value for name, value in written.items() if name != "stage"}
    assert tomllib.loads(to_toml(config)) == expected


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.stem)
def test_a_finished_run_of_an_earlier_version_is_one(path, capsys, tmp_path):
    """Red when a setting under its former name is taken for another setting."""
    (tmp_path / "config.toml").write_text(path.read_text())
    (tmp_path / "summary.json").write_text("{}")
    config = changed(settings_of(path, capsys)[0], out=str(tmp_path), fresh=False)
    assert is_finished(tmp_path, config)
    with pytest.raises(UserError, match="a finished run is here"):
        Run.open(config.run, config, path.stem)
    with pytest.raises(UserError, match="other settings: seed was"):
        is_finished(tmp_path, changed(config, seed=99))
