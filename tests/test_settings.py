"""Groups of settings: flat by name wherever a person reads or writes them, together in the code."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field

import pytest

from truing.config import load, options, parse
from truing.data.settings import DataSettings
from truing.errors import UserError
from truing.runs.settings import RunSettings
from truing.settings import Flat, changed, configured, current_name, defaults, flattened, require, to_toml


@dataclass(frozen=True)
class Inner:
    """Numbers."""

    lr: float = 0.1
    """A rate."""


@dataclass(frozen=True)
class Config:
    """A stage."""

    inputs: Flat[DataSettings]
    """Texts."""
    run: Flat[RunSettings] = RunSettings("runs/here", save_state_s=7.0)
    """Where."""
    inner: Inner = field(default_factory=Inner)
    """Numbers."""

    def __post_init__(self) -> None:
        require(self, ("inner.lr", self.inner.lr < 1, "below 1"))


@dataclass(frozen=True)
class WithTable:
    """A stage with a table of its own."""

    numbers: dict[str, float] = field(default_factory=dict)
    """Numbers by name."""


def parsed(*words):
    return parse(Config, words, "truing stage")


def test_files_and_flags_name_a_flat_setting_without_its_group():
    config = parsed("--data", "a", "b", "--seed", "3", "--fresh", "--strict")
    assert config == Config(DataSettings(("a", "b"), strict=True), RunSettings("runs/here", 3, True, 7.0))
    table = tomllib.loads(to_toml(config))
    assert table["data"] == ["a", "b"] and table["seed"] == 3 and table["inner"] == {"lr": 0.1}
    assert "run" not in table and "inputs" not in table
    names = [option.name for option in options(Config)]
    assert {"data", "strict", "no-strict", "out", "inner.lr", "lr"} <= set(names) and "run.out" not in names
    with pytest.raises(UserError, match=r"there is no --run\.out"):
        parsed("--data", "a", "--run.out", "x")


def test_a_file_changes_one_setting_of_a_group_and_leaves_the_others_at_the_stages_own(tmp_path):
    (tmp_path / "c.toml").write_text('data = ["a"]\nseed = 5\n')
    config = load(Config, tmp_path / "c.toml")
    assert config.run == RunSettings("runs/here", seed=5, save_state_s=7.0)
    assert parsed("--config", str(tmp_path / "c.toml"), "--out", "x").run == RunSettings("x", 5, save_state_s=7.0)
    (tmp_path / "c.toml").write_text("seed = 5\n")
    with pytest.raises(UserError, match="data is missing, and it has no default"):
        load(Config, tmp_path / "c.toml")
    (tmp_path / "c.toml").write_text('data = ["a"]\n[run]\nseed = 5\n')
    with pytest.raises(UserError, match=r"c\.toml: run: .* out, seed, fresh, .* stand by themselves, in no table"):
        load(Config, tmp_path / "c.toml")
    (tmp_path / "c.toml").write_text('data = ["a"]\nlr = 0.2\n')
    with pytest.raises(UserError, match=r"lr: there is no such key; lr stands in the table \[inner\]"):
        load(Config, tmp_path / "c.toml")


@pytest.mark.parametrize("words", [["--layout", "plain"], ["--layout=plain"]])
def test_a_former_flag_is_read_and_its_new_name_told_in_one_line(words, capsys):
    assert parsed("--data", "a", *words).inputs.chat_format == "plain"
    said = capsys.readouterr().err
    assert said == "truing stage: --layout is called --chat-format now; the former name is read until 0.2\n"
    assert "layout" not in [option.name for option in options(Config)]


def test_a_former_key_is_read_and_its_new_name_told(tmp_path, capsys):
    (tmp_path / "c.toml").write_text('data = ["a"]\nlayout = "plain"\n')
    assert load(Config, tmp_path / "c.toml").inputs.chat_format == "plain"
    assert "c.toml: layout is called chat_format now" in capsys.readouterr().err


def test_a_name_that_is_still_in_use_is_not_taken_for_a_former_one():
    assert current_name("layout", {"chat_format"}) == "chat_format"
    assert current_name("layout", {"chat_format", "layout"}) == current_name("layout", {"other"}) == "layout"


def test_values_by_name_find_their_groups():
    config = configured(Config, data=("a",), out="x", inner=Inner(0.5))
    assert config == Config(DataSettings(("a",)), RunSettings("x", save_state_s=7.0), Inner(0.5))
    assert changed(config, seed=4, data=("b",)) == Config(
        DataSettings(("b",)), RunSettings("x", 4, save_state_s=7.0), Inner(0.5)
    )
    with pytest.raises(UserError, match="there is no setting sed; did you mean"):
        configured(Config, data=("a",), sed=1)
    with pytest.raises(UserError, match="data is missing, and it has no default"):
        configured(Config, seed=1)
    assert flattened(config)["out"] == "x" and flattened(config)["inner"] == Inner(0.5)
    known = defaults(Config)
    assert known["out"] == "runs/here" and known["strict"] is False and "data" not in known


def test_tables_may_be_dictionaries_and_one_text_stands_for_several():
    config = configured(Config, data="a", inner={"lr": 0.5}, run={"out": "x", "seed": 3})
    assert config == Config(DataSettings(("a",)), RunSettings("x", 3, save_state_s=7.0), Inner(0.5))
    with pytest.raises(UserError, match="there is no setting lrr; did you mean"):
        configured(Config, data="a", inner={"lrr": 0.5})


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--data", ""], "data = .*: it must be names that are not empty"),
        (["--data", "a", "--out", ""], "out = '': it must be a folder's name"),
        (["--data", "a", "--confg", "x"], 'there is no --confg; did you mean "config"'),
    ],
)
def test_what_is_empty_names_nothing(words, complaint):
    with pytest.raises(UserError, match=complaint):
        parsed(*words)


def test_a_group_may_be_given_as_one_and_what_is_named_by_itself_wins(capsys):
    """Red when a group is dropped in silence."""
    run, inputs = RunSettings("x", seed=4), DataSettings(("a",), strict=True)
    assert configured(Config, run=run, inputs=inputs) == Config(inputs, run)
    assert configured(Config, run=run, inputs=inputs, seed=5).run == RunSettings("x", seed=5)
    assert changed(Config(inputs, run), run=RunSettings("y")).run == RunSettings("y")
    assert configured(Config, data=("a",), layout="plain").inputs.chat_format == "plain"
    assert capsys.readouterr().err == "layout is called chat_format now; the former name is read until 0.2\n"


def test_a_file_with_a_setting_under_both_its_names_is_refused(tmp_path):
    (tmp_path / "c.toml").write_text('data = ["a"]\nlayout = "plain"\nchat_format = "dialogue"\n')
    with pytest.raises(UserError, match="layout: this is the former name of chat_format, which is there, too"):
        load(Config, tmp_path / "c.toml")


def test_a_default_that_can_change_is_each_configurations_own():
    """Red when what is known of a class is kept with one dictionary for all."""

    one, other = (parse(WithTable, [], "truing stage") for _ in range(2))
    one.numbers["x"] = 1.0
    assert not other.numbers and not parse(WithTable, [], "truing stage").numbers


def test_only_the_first_of_several_processes_tells_a_new_name(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    parsed("--data", "a", "--layout", "plain")
    assert not capsys.readouterr().err


def test_a_rule_that_does_not_hold_names_the_setting_and_its_value():
    with pytest.raises(UserError, match=r"^inner\.lr = 2\.0: it must be below 1$"):
        configured(Config, data=("a",), inner=Inner(2.0))
