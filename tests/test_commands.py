"""The table of commands: whatever it names is there, and whatever is there it names."""

import inspect
from dataclasses import is_dataclass
from pathlib import Path

import pytest

from truing.commands import FAMILIES, TABLE, actions, first_words
from truing.config import options
from truing.settings import groups_of, settings_of

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("command", TABLE.values(), ids=TABLE)
def test_a_row_names_a_function_of_one_configuration(command):
    assert is_dataclass(command.settings) and command.function.__doc__
    first, *others = inspect.signature(command.function).parameters.values()
    assert first.name == "config" and all(other.default is not inspect.Parameter.empty for other in others)
    assert command.about[0].islower() and not command.about.endswith(".")
    assert command.description.startswith(f"{command.about[0].upper()}{command.about[1:]}.")
    for switch in command.switches:
        assert next(iter(inspect.signature(switch.function).parameters)) == "config"


@pytest.mark.parametrize("command", TABLE.values(), ids=TABLE)
def test_what_makes_a_run_gives_a_result_and_has_a_heading_in_the_report(command):
    """Red when a stage returns what it likes, or the report calls it by its bare name."""
    makes_run = "run" in groups_of(command.settings)
    assert makes_run == bool(command.title) == (inspect.signature(command.function).return_annotation == "Result")
    assert not command.concludes or makes_run
    assert command.stores == ("read" in inspect.signature(command.function).parameters)


def test_every_config_of_the_package_belongs_to_a_row():
    """Red when a command is written and not entered."""
    modules = {
        ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        for path in (ROOT / "src" / "truing").rglob("*.py")
        if "\nclass Config:" in path.read_text(encoding="utf-8")
    }
    assert modules == {row.settings.__module__ for row in TABLE.values() if row.settings.__name__ == "Config"}


def test_every_setting_of_every_row_is_in_the_reference():
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    sections = {part.partition("\n")[0]: part for part in text.split("\n## truing ")[1:]}
    assert list(sections) == list(TABLE)
    for name, command in TABLE.items():
        for option in options(command.settings):
            words = option.name.replace("no-", "").replace("-", "_")
            assert f"`{words}`" in sections[name] or f".{words}`" in sections[name], (name, option.name)
        bare = [known for known, setting in settings_of(command.settings).items() if setting.is_positional]
        assert all(f"`{known.upper()}`" in sections[name] for known in bare)


def test_commands_of_two_words_are_found_by_the_first():
    assert list(actions("feedback")) == ["import", "export", "stats", "snapshot", "backup", "round", "review"]
    assert set(first_words()) == {name for name in TABLE if " " not in name} | set(FAMILIES)
    assert first_words()["feedback"][1].startswith("import, export, stats")
