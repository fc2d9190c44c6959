"""Scripts by which a shell completes commands, options and values; where they know none, it completes file names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import tyro

from truing.commands import FAMILIES, TABLE, Command, actions, first_words
from truing.config import Option, options

Shell = Literal["bash", "zsh", "fish"]
SHELLS = get_args(Shell)
BASH = """\
_truing() {
  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" place="" known="" i
  for ((i = 1; i < COMP_CWORD && i < 3; i++)); do
    case "${COMP_WORDS[i]}" in -*) break ;; esac
    place="$place${place:+ }${COMP_WORDS[i]}"
  done
  case "$place:$before" in
%s
  esac
  if [ -z "$known" ]; then
    case "$place:$word" in
%s
    esac
  fi
  COMPREPLY=($(compgen -W "$known" -- "$word"))
}
complete -o default -F _truing truing
"""
ZSH = "autoload -Uz compinit bashcompinit\n(( $+functions[compdef] )) || compinit\nbashcompinit\n" + BASH
FISH = """\
function __truing_at
    set -l words (commandline -opc)
    test "$words[2..]" = "$argv"
end
function __truing_after
    set -l words (commandline -opc)
    set -l last (math 1 + (count $argv))
    test (count $words) -ge $last; and test "$words[2..$last]" = "$argv"
end
%s
"""


@dataclass(frozen=True)
class Config:
    """Which shell."""

    shell: tyro.conf.Positional[Shell]
    """The shell that is to read it."""


def show(config: Config) -> None:
    """Print the script."""
    print(script(config.shell), end="")


def script(shell: Shell) -> str:
    """What a shell has to read."""
    words: dict[str, Iterable[str]] = {"": (*first_words(), "help"), "help": first_words(), "completion": SHELLS}
    words |= {family: actions(family) for family in FAMILIES}
    flags = {name: _flags(command) for name, command in TABLE.items()}
    if shell == "fish":
        return FISH % "\n".join(_fish(words, flags))
    values = [
        f"    '{place}':--{option.name}) known='{' '.join(option.choices)}' ;;"
        for place, known in flags.items()
        for option in known
        if option.choices
    ]
    places = [f"      '{place}':*) known='{' '.join(known)}' ;;" for place, known in words.items()]
    for place, known in flags.items():
        places.append(f"      '{place}':-*) known='{' '.join(f'--{option.name}' for option in known)}' ;;")
    return {"bash": BASH, "zsh": ZSH}[shell] % ("\n".join(values), "\n".join(places))


def _flags(command: Command) -> list[Option]:
    """The flags of a command, those that it has besides its settings first."""
    settings = options(command.settings)
    config = [Option("config", takes_value=True)] if settings else []
    return [Option("help"), *config, *(Option(switch.name) for switch in command.switches), *settings]


def _fish(words: Mapping[str, Iterable[str]], flags: Mapping[str, Iterable[Option]]) -> Iterator[str]:
    for place, known in words.items():
        yield f"complete -c truing -f -n '__truing_at {place}' -a '{' '.join(known)}'"
    for place, options_there in flags.items():
        for option in options_there:
            value = f" -x -a '{' '.join(option.choices)}'" if option.choices else " -r -F" if option.takes_value else ""
            yield f"complete -c truing -n '__truing_after {place}' -l {option.name}{value}"
