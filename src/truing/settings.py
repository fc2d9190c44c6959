"""What holds for the settings of all commands: how groups are named, what is refused, former names."""

from __future__ import annotations

import os
import sys
from collections.abc import Container, Iterable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, fields, is_dataclass, replace
from functools import cache, reduce
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_origin, get_type_hints

import tomli_w
import tyro

from truing.errors import UserError, nearest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")
T = TypeVar("T")
Flat = Annotated[T, tyro.conf.OmitArgPrefixes]
"""A group whose settings are named as if they were the stage's own: `run.out` is `out` in a file, `--out` typed."""
FORMER = {"layout": "chat_format"}  # names that settings had in earlier versions, which are read until 0.2


def require(settings: object, *rules: tuple[str, object, str]) -> None:
    """Raise UserError at the first rule that does not hold: the setting's name, whether it holds, what it must be."""
    for name, holds, rule in rules:
        if not holds:
            raise UserError(f"{name} = {reduce(getattr, name.split('.'), settings)!r}: it must be {rule}")


def _default(f: Field[Any]) -> Any:
    return f.default_factory() if f.default_factory is not MISSING else f.default


@dataclass(frozen=True)
class Setting:
    """One setting of a stage, as files name it."""

    field: Field[Any]
    """Where it is defined."""
    kind: Any
    """Its type."""
    group: str = ""
    """The flat group it is in."""
    start: Any = None
    """What the stage has for that group by default."""
    is_positional: bool = False
    """Whether it is typed without a flag."""

    @property
    def default(self) -> Any:
        """The stage's default, or MISSING."""
        return _default(self.field) if self.start is None else getattr(self.start, self.field.name)


@cache
def settings_of(config: type) -> Mapping[str, Setting]:
    """All settings of a configuration by their names in files; a table of settings, such as `learning`, is one."""
    hints = get_type_hints(config, include_extras=True)
    found: dict[str, Setting] = {}
    for f in fields(config):
        marks = getattr(hints[f.name], "__metadata__", ())
        kind = hints[f.name].__origin__ if marks else hints[f.name]
        if tyro.conf.OmitArgPrefixes in marks:
            start = None if (value := _default(f)) is MISSING else value
            found |= {name: replace(s, group=f.name, start=start) for name, s in settings_of(kind).items()}
        else:
            found[f.name] = Setting(f, kind, is_positional=tyro.conf.Positional in marks)
    return MappingProxyType(found)


def groups_of(config: type) -> dict[str, type]:
    """The types of a configuration's flat groups, by field."""
    names, hints = {setting.group for setting in settings_of(config).values()}, get_type_hints(config)
    return {name: kind for name, kind in hints.items() if name in names}


def flattened(config: Any) -> dict[str, Any]:
    """The values of a configuration by their names in files."""
    kind: type = type(config)
    known = settings_of(kind)
    return {name: getattr(getattr(config, s.group) if s.group else config, name) for name, s in known.items()}


def defaults(config: type) -> dict[str, Any]:
    """The values of all settings that have a default, by their names in files."""
    return {name: s.default for name, s in settings_of(config).items() if s.default is not MISSING}


def required(config: type) -> list[str]:
    """The settings without a default, by their names in files."""
    return [name for name, s in settings_of(config).items() if s.default is MISSING]


def current_name(name: str, known: Container[str]) -> str:
    """What a setting is called today: a former name's new one, where that alone is known."""
    today = FORMER.get(name, name)
    return today if name not in known and today in known else name


def tell_new_name(where: str, name: str) -> None:
    """Say in one line, of several processes in the first, that a former name was read."""
    if os.environ.get("RANK", "0") == "0":
        print(f"{where} is called {name} now; the former name is read until 0.2", file=sys.stderr)


def configured(config: type[C], **values: Any) -> C:
    """A stage's configuration from values by the names that they have in files: `out` goes into its group `run`.

    A group may be given as one, too; what is named by itself wins. A table, such as `learning`, may be a dictionary of
    what is not at the stage's default, as in a file; one text where several may stand is the only one. Raises UserError
    at a name that is no setting, and where one without a default is missing.
    """
    known, groups = settings_of(config), groups_of(config)
    given = {name: value for group in groups if group in values for name, value in _items(values[group])}
    for written, value in values.items():
        name = current_name(written, known)
        if name in known:
            given[name] = _as_kind(known[name], value)
        elif name not in groups:
            raise UserError(f"there is no setting {name}; {nearest(name, known)}")
        if name != written:
            tell_new_name(written, name)
    for name in required(config):
        if name not in given:
            raise UserError(f"{name} is missing, and it has no default")
    own = {name: value for name, value in given.items() if not known[name].group}
    for group, kind in groups.items():
        inside = {name: given.get(name, s.default) for name, s in known.items() if s.group == group}
        own[group] = kind(**inside)
    return config(**own)


def _items(group: Any) -> Iterable[tuple[str, Any]]:
    return group.items() if isinstance(group, dict) else vars(group).items()


def _as_kind(setting: Setting, value: Any) -> Any:
    if is_dataclass(setting.kind) and isinstance(value, dict):
        return changed(setting.default, **value)
    return (value,) if get_origin(setting.kind) is tuple and isinstance(value, str) else value


def changed(config: C, **values: Any) -> C:
    """The same with other values, by the names that they have in files."""
    return configured(type(config), **(vars(config) | values))


def as_tables(config: Any) -> dict[str, Any]:
    """The values of a configuration by their names in files, a dictionary for each table."""
    return {name: asdict(v) if is_dataclass(v) else v for name, v in flattened(config).items()}  # type: ignore[arg-type]


def to_toml(config: Any) -> str:
    """The settings of a configuration as TOML. What is None is left out: TOML has no word for it."""
    return tomli_w.dumps(_without_none(as_tables(config)))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [_without_none(inner) for inner in value]
    return value
