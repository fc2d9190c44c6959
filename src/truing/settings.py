"""Settings that several stages have, and what holds for all: how groups are named, what is refused, former names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, replace
from functools import reduce
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_type_hints

import tyro

from truing.errors import UserError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")
T = TypeVar("T")
Flat = Annotated[T, tyro.conf.OmitArgPrefixes]
"""A group whose settings are named as if they were the stage's own: `run.out` is `out` in a file, `--out` typed."""
ChatFormat = Literal["auto", "template", "dialogue", "plain"]
FORMER = {"layout": "chat_format"}  # names that settings had in earlier versions, which are read until 0.2


def require(settings: object, *rules: tuple[str, object, str]) -> None:
    """Raise UserError at the first rule that does not hold: the setting's name, whether it holds, what it must be."""
    for name, holds, rule in rules:
        if not holds:
            raise UserError(f"{name} = {reduce(getattr, name.split('.'), settings)!r}: it must be {rule}")


@dataclass(frozen=True)
class OutputSettings:
    """The folder that a command writes its run into."""

    out: str
    """The run's folder."""
    seed: int = 0
    """Of everything random: fresh weights, the order, the draws."""
    fresh: bool = False
    """Start over: a run broken off in the same folder is not continued, a finished one is replaced."""


@dataclass(frozen=True)
class RunSettings(OutputSettings):
    """A run that saves its state on the way, and its figures' second home."""

    save_state_s: float = 120.0
    """Seconds between two saves of all that is needed to go on to the bit after a break; below 0: when stopped only."""
    allow_inexact: bool = False
    """Go on with a run on another machine, other versions or more or fewer processes: the bits may differ."""
    track: Literal["none", "wandb", "trackio"] = "none"
    """Also send the figures to this service."""


@dataclass(frozen=True)
class DataSettings:
    """What a stage reads, and how."""

    data: tuple[str, ...]
    """Files, folders, runs or hub ids."""
    strict: bool = False
    """Stop at the first bad row in place of leaving it out."""
    chat_format: ChatFormat = "auto"
    """How messages become text: the tokenizer's chat template where it has one, Human/Assistant dialogue, or plain."""


def flat_groups(config: type) -> dict[str, type]:
    """The groups of a dataclass whose settings are named as its own, by field."""
    hints = get_type_hints(config, include_extras=True)
    return {name: hint.__origin__ for name, hint in hints.items() if _is_flat(hint)}


def _is_flat(hint: Any) -> bool:
    return tyro.conf.OmitArgPrefixes in getattr(hint, "__metadata__", ())


def flat_fields(config: type) -> Iterator[tuple[str, Field[Any]]]:
    """The fields of a dataclass in their order, those of flat groups in the group's place, each with the name of the
    group it is in, or ""."""
    groups = flat_groups(config)
    for f in fields(config):
        if f.name in groups:
            yield from ((f.name, inner) for inner in fields(groups[f.name]))
        else:
            yield "", f


def flattened(settings: Any) -> dict[str, Any]:
    """The values of a configuration by their names in files; settings in a table stay together."""
    values: dict[str, Any] = {}
    groups = flat_groups(type(settings))
    for name, value in vars(settings).items():
        values |= vars(value) if name in groups else {name: value}
    return values


def default(f: Field[Any]) -> Any:
    """A field's default, or MISSING."""
    return f.default_factory() if f.default_factory is not MISSING else f.default


def defaults(config: type) -> dict[str, Any]:
    """The values of all settings that have a default, by their names in files."""
    groups, found = flat_groups(config), dict[str, Any]()
    for f in fields(config):
        value = default(f)
        if f.name in groups:
            found |= defaults(groups[f.name]) if value is MISSING else vars(value)
        elif value is not MISSING:
            found[f.name] = value
    return found


def present_name(name: str, known: Any) -> str:
    """What a setting is called today: its own name, if it is among the `known`, or the one it got."""
    today = FORMER.get(name, name)
    return today if name not in known and today in known else name


def configured(config: type[C], **values: Any) -> C:
    """A stage's configuration from values by the names that they have in files: `out` goes into its group `run`."""
    grouped = dict(values)
    for name, group in flat_groups(config).items():
        own = {f.name: grouped.pop(f.name) for f in fields(group) if f.name in values}
        start = default(next(f for f in fields(config) if f.name == name))
        grouped[name] = group(**own) if start is MISSING else replace(start, **own)
    return config(**grouped)


def changed(config: C, **values: Any) -> C:
    """The same with other values, by the names that they have in files."""
    return configured(type(config), **(flattened(config) | values))
