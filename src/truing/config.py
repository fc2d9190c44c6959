"""Settings: a stage's dataclass, a TOML file and the command line say the same things by the same names."""

from __future__ import annotations

import contextlib
import io
import math
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, is_dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

import tyro
from pydantic import TypeAdapter, ValidationError
from tyro.constructors import PrimitiveConstructorSpec, PrimitiveTypeInfo

from truing.errors import UserError, nearest
from truing.settings import (
    C,
    Setting,
    configured,
    current_name,
    flattened,
    groups_of,
    required,
    settings_of,
    tell_new_name,
)


@dataclass(frozen=True)
class Option:
    """A flag of the command line."""

    name: str
    takes_value: bool = False
    choices: tuple[str, ...] = ()


def load(config: type[C], path: str | Path) -> C:
    """The configuration a TOML file holds. Unknown keys, wrong types and impossible values are named with the file."""
    values = _read(config, Path(path))
    try:
        return _complete(configured(config, **values))
    except (UserError, ValueError) as error:
        raise UserError(f"{path}: {error}") from None


def parse(
    config: type[C],
    argv: Sequence[str],
    prog: str,
    description: str = "",
    switches: Mapping[str, str] = MappingProxyType({}),
    is_partial: bool = False,
) -> C:
    """The configuration a command line asks for: first the file after `--config`, then the flags, which win.

    A flag of several values may be given several times: what they say is added up, and takes the place of the file's.
    `switches` are flags that are no settings, with what they do: they are told, and taken out by who calls. In a
    partial configuration nothing is required: what is missing is "-". --help prints and exits with code 0. Any mistake
    is a UserError of one line.
    """
    file, rest = _take_config(argv, prog)
    values = _read(config, file, stage=prog.split()[-1]) if file else {}
    rest = [_in_full(config, token, prog) for token in rest]
    given = [_key(token) for token in rest if token.startswith("--")]
    missing = [name for name in required(config) if name not in values and name not in given]
    if not {"-h", "--help"} & set(rest):
        _refuse_unknown(config, rest, prog, switches)
        if not is_partial:
            _refuse_missing(config, missing, rest, prog)
    # tyro would turn a default's keys into flags of their own, so a table of the file goes in as if typed.
    tables = {name: value for name, value in values.items() if isinstance(value, dict)}
    typed = [t for name, table in tables.items() if name not in given for t in (f"--{name}", *_typed(table))]
    typed += [part for name in missing if is_partial for part in (f"--{name}", "-")]
    start = _unchecked(config, {name: value for name, value in values.items() if name not in tables})
    about = _about(config, description, switches)
    try:
        return _complete(_by_tyro(config, _gathered(config, [*typed, *rest]), prog, about, start))
    except (UserError, ValueError) as error:
        raise UserError(_placed(str(error), prog, file, values, given)) from None


def _about(config: type, description: str, switches: Mapping[str, str]) -> str:
    """What --help says above the settings."""
    lines = [description, *(f"--{name} {what}" for name, what in switches.items())]
    if _flags(config):
        lines.append("--config FILE reads settings from a TOML file, such as a run's config.toml; flags win.")
    if any("." in name for name in _kinds(config)):
        lines.append("The part of a name before its dot may be left out, where no other option is called so.")
    return "\n".join(lines).strip()


def options(config: type) -> list[Option]:
    """The flags of a stage, as --help shows them, and without their table's name where that may be left out."""
    found: list[Option] = []
    kinds = _kinds(config)
    for flag in _flags(config):
        kind = kinds.get(flag)
        choices = tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ()
        short = flag.rpartition(".")[2]
        names = [flag, short] if short != flag and _in_full(config, f"--{short}") == f"--{flag}" else [flag]
        found += [Option(name.replace("_", "-"), kind not in (None, bool), choices) for name in names]
    return found


def _placed(complaint: str, prog: str, file: Path | None, values: dict[str, Any], given: Sequence[str]) -> str:
    """A complaint with where its value is from: validation sees values only, so the key it begins with has to tell."""
    found = re.match(r"\w+", complaint)
    key = found[0] if found else ""
    nested = [name for name in given if name.endswith(f".{key}")]
    if len(nested) == 1 and key not in given:
        return f"{prog}: {nested[0]}{complaint.removeprefix(key)}"
    return f"{file if key in values and key not in given else prog}: {complaint}"


def _by_tyro(config: type[C], argv: Sequence[str], prog: str, description: str, default: C) -> C:
    """tyro's answer, or its complaint as one line: it knows only boxes, which it prints before it exits."""
    boxes = io.StringIO()
    try:
        with contextlib.redirect_stderr(boxes):
            return tyro.cli(
                config, args=argv, prog=prog, description=description, default=default, use_underscores=False,
                registry=SHOWN,
            )  # fmt: skip
    except SystemExit as stop:
        if not stop.code:
            raise
        lines = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", boxes.getvalue()).splitlines() if line[:1] != "╭"]
        words = " ".join(re.sub("[─│╰╯]", " ", " ".join(lines)).split())
        complaint = re.split("For full helptext|Argument helptext:", words)[0].strip()
        complaint = complaint.removeprefix("Error parsing ").removeprefix(f"{config.__name__}: ")
        for theirs, ours in PLAIN.items():
            complaint = complaint.replace(theirs, ours)
        raise UserError(complaint) from None


# What tyro says, and what it means.
PLAIN = {
    "Unrecognized options:": "not understood:",
    "Failed to parse key-value pairs!": "names and their values are needed, in turn: NAME VALUE NAME VALUE",
}
SHOWN = tyro.constructors.ConstructorRegistry()


@SHOWN.primitive_rule
def _none_of_several(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """How --help shows a default of no values: `(default: none)`, where tyro would say `(default: )`."""
    if info.type_origin not in (tuple, dict) or SHOWN in info.markers:
        return None
    spec = SHOWN.get_primitive_spec(replace(info, markers=info.markers | {SHOWN}))
    assert isinstance(spec, PrimitiveConstructorSpec)
    return replace(spec, str_from_instance=lambda values: spec.str_from_instance(values) or ["none"])


def _take_config(argv: Sequence[str], prog: str) -> tuple[Path | None, list[str]]:
    """The file after `--config`, and the other arguments."""
    rest, files = [], []
    tokens = iter(argv)
    for token in tokens:
        if token == "--config":
            files.append(next(tokens, ""))
        elif token.startswith("--config="):
            files.append(token.removeprefix("--config="))
        else:
            rest.append(token)
    if len(files) > 1 or "" in files:
        raise UserError(f"{prog}: --config takes one TOML file, once")
    return (Path(files[0]) if files else None), rest


def _read(config: type, path: Path, stage: str = "") -> dict[str, Any]:
    """The checked values of a TOML file, by field. A run's own names its stage: it must be the one asked for."""
    if path.is_dir():
        raise UserError(f"{path}: this is a folder: name a TOML file, such as {path}/config.toml of a run")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: this is not TOML: {error}") from None
    found = table.pop("stage", stage)
    if stage and found != stage:
        raise UserError(f'{path}: stage = "{found}": these are settings of another stage than {stage}')
    return _values(config, table, str(path), "")


def _values(config: type, table: dict[str, Any], path: str, prefix: str) -> dict[str, Any]:
    """The values of one TOML table, each of its setting's type."""
    known = settings_of(config)
    values: dict[str, Any] = {}
    for written, value in table.items():
        where, name = f"{path}: {prefix}{written}", current_name(written, known)
        if name not in known:
            raise UserError(f"{where}: there is no such key; {_hint(config, name)}")
        if name != written:
            if name in table:
                raise UserError(f"{where}: this is the former name of {name}, which is there, too: give one of both")
            tell_new_name(where, name)
        if is_dataclass(known[name].kind):
            values[name] = _table(known[name], value, where, path, f"{prefix}{name}")
        else:
            values[name] = _checked(known[name].kind, value, where)
    return values


def _hint(config: type, name: str) -> str:
    """What may have been meant by a key that is none."""
    known, tables = settings_of(config), [full for full in _kinds(config) if full.endswith(f".{name}")]
    if name in groups_of(config):
        inside = [setting for setting, s in known.items() if s.group == name]
        return f"{', '.join(inside)} stand by themselves, in no table"
    if len(tables) == 1:
        return f"{name} stands in the table [{tables[0].removesuffix(f'.{name}')}]"
    return nearest(name, known)


def _table(setting: Setting, value: Any, where: str, path: str, name: str) -> Any:
    """A table of settings; what it does not name is at the stage's default."""
    if not isinstance(value, dict):
        raise UserError(f"{where} = {value!r}: this is a table of settings, [{name}]")
    inner = _values(setting.kind, value, path, f"{name}.")
    try:
        return replace(setting.default, **inner)
    except (UserError, ValueError) as error:
        raise UserError(f"{path}: {name}: {error}") from None


def _checked(kind: Any, value: Any, where: str) -> Any:
    """A TOML value as the type of its field. Strict: "3" is no number; an integer is a fine float."""
    try:
        return TypeAdapter(kind).validate_python(_tupled(value), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{part}]" for part in first["loc"] if isinstance(part, int))
        place = f".{first['loc'][0]}" if isinstance(value, dict) else place
        said = str(first["msg"]).removeprefix("Input should be ").replace("a valid tuple", "a list")
        raise UserError(f"{where}{place} = {first['input']!r}: it must be {said}") from None


def _tupled(value: Any) -> Any:
    """Lists of TOML as the tuples that frozen dataclasses hold."""
    return tuple(_tupled(inner) for inner in value) if isinstance(value, list) else value


def _unchecked(config: type[C], values: dict[str, Any]) -> C:
    """An instance with some values and all defaults, made past its checks: tyro takes the defaults it shows from it."""
    start, groups = object.__new__(config), groups_of(config)
    for name, kind in groups.items():
        object.__setattr__(start, name, object.__new__(kind))
    for name, setting in settings_of(config).items():
        value = values.get(name, tyro.MISSING if setting.default is MISSING else setting.default)
        object.__setattr__(getattr(start, setting.group) if setting.group else start, name, value)
    return start


def _refuse_missing(config: type, missing: Sequence[str], rest: Sequence[str], prog: str) -> None:
    for name in missing:
        if not settings_of(config)[name].is_positional:
            raise UserError(f"{prog} needs --{name} (or {name} in a --config file); {prog} --help explains it")
        if not rest:
            raise UserError(f"{prog} needs {name.upper()}; {prog} --help explains it")


def _refuse_unknown(config: type, tokens: Sequence[str], prog: str, switches: Collection[str]) -> None:
    """Refuse a flag that there is not, and a value of a switch: whoever parses has taken out those without one."""
    valid = [name.replace("_", "-") for name in (*_flags(config), *switches)]
    for token in tokens:
        flag = token.partition("=")[0]
        key = _key(token).replace("_", "-")
        if not valid and flag.startswith("-"):
            raise UserError(f"{prog}: there is no {flag}; {prog} --help tells what it takes")
        if flag.startswith("--") and key in switches:
            raise UserError(f"{prog}: {flag} takes no value")
        if flag.startswith("--") and key not in valid:
            raise UserError(f"{prog}: there is no --{key}; {nearest(key, (*valid, 'config', 'help'))}")


def _gathered(config: type, tokens: Sequence[str]) -> list[str]:
    """The arguments with each flag of several values once, where it first stands: tyro would keep the last alone."""
    several = {name for name, kind in _kinds(config).items() if get_origin(kind) in (tuple, dict)}
    into: list[str] = []
    groups, places = [into], dict[str, list[str]]()
    for token in tokens:
        name = _key(token) if token.startswith("--") else ""
        if name in several:
            flag, equals, value = token.partition("=")
            if name not in places:
                groups.append([flag])
            into = places.setdefault(name, groups[-1])
            into += [value] if equals else []
        elif name:
            into = [token]
            groups.append(into)
        else:
            into.append(token)
    return [token for group in groups for token in group]


def _kinds(config: Any, prefix: str = "") -> dict[str, Any]:
    """The type of every setting by its full name."""
    kinds: dict[str, Any] = {}
    for name, s in settings_of(config).items():
        kinds |= _kinds(s.kind, f"{prefix}{name}.") if is_dataclass(s.kind) else {f"{prefix}{name}": s.kind}
    return kinds


def _flags(config: type) -> list[str]:
    """The name of every flag; a switch has its opposite too."""
    names: list[str] = []
    bare = [name for name, s in settings_of(config).items() if s.is_positional]
    for name, kind in _kinds(config).items():
        table, dot, key = name.rpartition(".")
        names += [name] if name not in bare else []
        names += [f"{table}{dot}no_{key}"] if kind is bool else []
    return names


def _in_full(config: type, token: str, prog: str = "") -> str:
    """A flag with the name that it has today, and of its table, which may be left out where only one has such a key."""
    if not token.startswith("--"):
        return token
    flags = [flag.replace("-", "_") for flag in _flags(config)]
    typed, equals, value = token.partition("=")
    key = current_name(_key(token), flags)
    found = [flag for flag in flags if flag.endswith(f".{key}")]
    if key != _key(token):
        tell_new_name(f"{prog}: {typed}", f"--{key}".replace("_", "-"))
        return f"--{key}{equals}{value}"
    if key in flags or len(found) != 1:
        return token
    return f"--{found[0]}{equals}{value}"


def _key(token: str) -> str:
    return token.removeprefix("--").partition("=")[0].replace("-", "_")


def _typed(table: dict[str, Any]) -> list[str]:
    return [str(part) for item in table.items() for part in item]


def _complete(built: C) -> C:
    """What has no default must say something: `--data` with nothing after it does not, nor does an empty text. A seed
    counts from 0; numbers are finite, and no larger than what is counted anywhere."""
    values = flattened(built)
    for name in required(type(built)):
        if values[name] == ():
            raise UserError(f"{name} = []: it must be one value at least")
        if values[name] == "":
            raise UserError(f"{name} is empty")
    seed = values.get("seed", 0)
    if not 0 <= seed < 2**32:
        raise UserError(f"seed = {seed}: it must be 0 or more, and below 2^32")
    for name, value in _numbers(built):
        if not (math.isfinite(value) if isinstance(value, float) else abs(value) <= 2**53):
            raise UserError(f"{name} = {value}: it must be {'finite' if isinstance(value, float) else '2^53 at most'}")
    return built


def _numbers(built: Any) -> Iterator[tuple[str, int | float]]:
    """The numbers among the settings, by the names they are typed by."""
    for key, value in flattened(built).items():
        if is_dataclass(value):
            yield from ((f"{key}.{name}", number) for name, number in _numbers(value))
        elif isinstance(value, int | float):
            yield key, value
