"""A process that has loaded everything once, and forks for each command: `python -m tests.forked`.

Each command is a process of its own, with its own signals, exit code and memory, but for the five seconds of loading
torch. It reads requests and answers with exit codes, a line of JSON each.
"""

import json
import os
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

from truing import cli

LOADED = (
    "torch._dynamo",  # what the first optimizer of a process loads
    "truing.demo.pipeline",
    "truing.evaluation.report",
    "truing.loop.sources",
    "truing.training.policy",
)


def become(request: dict) -> NoReturn:
    """Be the command that is asked for, from its beginning to its end."""
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    for number, path in enumerate((os.devnull, request["stdout"], request["stderr"])):
        os.dup2(os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    code: object = 0
    try:
        cli.main(request["argv"])
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    for file in (sys.stdout, sys.stderr):
        with suppress(OSError):
            file.flush()
    os._exit(code if isinstance(code, int) else 1)


def main() -> None:
    """Answer until nobody asks any more."""
    cli._quiet()  # as a command does before it loads them
    for name in LOADED:
        import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
