"""Scripts by which a shell completes commands, options and values; where they know none, it completes file names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from truing.config import Option, options

SHELLS = ("bash", "zsh", "fish")
USAGE = """\
usage: truing completion bash | zsh | fish    prints a script; a shell that has read it completes commands and options:

  truing completion bash > ~/.truing.bash    and in ~/.bashrc: source ~/.truing.bash
  truing completion zsh > ~/.truing.zsh      and in ~/.zshrc: source ~/.truing.zsh
  truing completion fish > ~/.truing.fish    and in ~/.config/fish/config.fish: source ~/.truing.fish"""
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


def script(shell: str, commands: Iterable[str], configs: Mapping[str, type]) -> str:
    """What one of SHELLS has to read. `configs` holds the settings of each command, or action (`feedback import`)."""
    actions = [place.removeprefix("feedback ") for place in configs if place.startswith("feedback ")]
    every = [Option("help"), Option("config", takes_value=True)]
    words = {"": (*commands, "help"), "help": commands, "feedback": actions, "completion": SHELLS}
    flags = {place: [*every, *options(config)] for place, config in configs.items()}
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


def _fish(words: Mapping[str, Iterable[str]], flags: Mapping[str, Iterable[Option]]) -> Iterator[str]:
    for place, known in words.items():
        yield f"complete -c truing -f -n '__truing_at {place}' -a '{' '.join(known)}'"
    for place, options_there in flags.items():
        for option in options_there:
            value = f" -x -a '{' '.join(option.choices)}'" if option.choices else " -r -F" if option.takes_value else ""
            yield f"complete -c truing -n '__truing_after {place}' -l {option.name}{value}"
