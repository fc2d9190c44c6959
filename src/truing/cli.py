"""The command line: find the command's row, parse its settings, call its function, print."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NoReturn

from truing.commands import FAMILIES, TABLE, Command, actions, first_words
from truing.errors import RunEnds, UserError, nearest

if TYPE_CHECKING:
    from truing.runs.run import Result

HEAD = """\
usage: truing COMMAND [--config FILE] [options]      (truing help COMMAND tells all options)

Reinforcement learning from human feedback, from a base model to an aligned one.
"""
FOOT = """\
Several processes learn together: torchrun --nproc-per-node N -m truing {shared} …
A model is a hub id, a folder, or an earlier run's folder; data are files or earlier runs.
Every run is a folder: config.toml, summary.json, report.html; metrics.jsonl, samples.jsonl, model/ where it has them.
"""
DISK = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EIO,
)  # full, read-only, broken: the disk's fault


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; a user's mistake is one line and exit code 2."""
    argv = list(sys.argv[1:] if argv is None else argv)
    while argv[:1] == ["help"]:
        argv = [*argv[1:], "--help"]
    if not argv or argv[0] in ("-h", "--help"):
        print(_help(), end="")
        return
    if argv[0] in ("-V", "--version"):
        from truing import __version__

        print(f"truing {__version__}")
        return
    _quiet()
    try:
        command, rest = _command_of(argv)
        if command.heavy:
            _share_cores()
            from truing.models.memory import keep_freed_memory

            keep_freed_memory()
        with _together(command):
            _run(command, rest)
    except (UserError, RunEnds) as error:
        _refuse(str(error), error.code)
    except BrokenPipeError:
        # The reader of our output went away (`truing rl --help | head`): nothing is wrong, and nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:
        if error.errno not in DISK:
            raise
        _refuse(
            f"{error.filename or 'the disk'}: cannot be written: {os.strerror(error.errno)}; what was saved is kept"
        )
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def _help() -> str:
    """What is to be had, under headings."""
    groups: dict[str, list[str]] = {}
    for word, (group, about) in first_words().items():
        groups.setdefault(group, []).append(f"  {word:<11} {about}\n")
    lines = [line for group, inside in groups.items() for line in (f"{group}\n", *inside)]
    shared = " | ".join(name for name, command in TABLE.items() if command.shared)
    return "\n".join([HEAD, "".join(lines), FOOT.format(shared=shared)])


def _command_of(argv: Sequence[str]) -> tuple[Command, list[str]]:
    """The row that is asked for by one word or two, and what stands after them."""
    word, *rest = argv
    if word in TABLE:
        return TABLE[word], rest
    if word not in FAMILIES:
        _refuse(f'there is no command "{word}"; {nearest(word, first_words())}')
    known = actions(word)
    if not rest or rest[0] in ("-h", "--help"):
        print(f"usage: truing {word} ACTION [options]      (truing {word} ACTION --help tells all options)\n")
        for name, command in known.items():
            print(f"  {name:<10} {command.about}")
        raise SystemExit(0 if rest else 2)
    if rest[0] not in known:
        _refuse(f"truing {word} {rest[0]}: there is no such action; {nearest(rest[0], known)}")
    return known[rest[0]], rest[1:]


def _run(command: Command, argv: Sequence[str]) -> None:
    """Parse the settings and call what they are for."""
    from truing.config import parse

    switch = next((switch for switch in command.switches if f"--{switch.name}" in argv), None)
    config: Any = parse(
        command.settings,
        [word for word in argv if switch is None or word != f"--{switch.name}"],
        prog=f"truing {command.name}",
        description=command.description,
        switches={known.name: known.about for known in command.switches},
        is_partial=switch is not None,
    )
    result = switch.function(config) if switch else _result(command, config)
    if command.concludes and not switch:
        _conclude(result)


def _result(command: Command, config: Any) -> Any:
    """What a command's function gives; where stores may stand among its data, it reads these, too."""
    if not command.stores:
        return command.function(config)
    from truing.loop import sources

    return command.function(sources.pinned(config), read=sources.read)


def _conclude(result: Result) -> None:
    """Write the report and print the final figures."""
    from rich.console import Console
    from rich.table import Table

    from truing.evaluation import report
    from truing.maths.statistics import interval_text
    from truing.runs import distributed

    if distributed.rank():
        return
    page = report.write(result.folder)
    table = Table(show_header=False, box=None)
    for name, value in result.summary.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            interval = result.summary.get(f"{name}_interval")
            table.add_row(name, f"{value:.4g}", interval_text(interval) if interval else "")
    Console(soft_wrap=True, markup=False).print(table)
    print(f"\nmodel and figures: {result.folder}\nreport: {page}")


def _together(command: Command) -> AbstractContextManager[None]:
    """The processes that `torchrun` started as one training; only what learns can be shared."""
    if "RANK" not in os.environ or os.environ.get("WORLD_SIZE", "1") == "1":
        return nullcontext()
    if not command.shared:
        shared = ", ".join(name for name, other in TABLE.items() if other.shared)
        _refuse(f"{command.name} works in one process; several, by torchrun, learn in {shared}")
    from truing.runs.distributed import joined

    return joined()


def _refuse(message: str, code: int = 2) -> NoReturn:
    print(f"truing: {message}", file=sys.stderr)
    raise SystemExit(code)


def _share_cores() -> None:
    """Threads wait for each other a moment, then sleep (before torch is loaded: OpenMP reads this once).

    Left to itself, GNU's OpenMP spins for as long as threads are no more than cores. Beside another busy process, most
    of the time goes there: a core spins for a thread that waits for that core.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def _quiet() -> None:
    """Libraries keep their chatter: what the user needs to know is said by us."""
    import warnings

    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if os.environ.get("NO_COLOR"):
        os.environ.setdefault("PYTHON_TYRO_ANSI_CODES", "False")  # it does not know no-color.org
    warnings.filterwarnings("ignore", category=FutureWarning)


if __name__ == "__main__":
    main()
