"""A process that has loaded everything once, and forks for each command: `python -m tests.forked`.

Each command is a process of its own, with its own signals, exit code and memory, but for the five seconds of loading
torch. It reads requests, a line of JSON each, and answers with a number: the exit code; of a request that does not
`wait`, the process's id, and its exit code when that is asked for by `code_of`.
"""

import json
import os
import runpy
import signal
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

from truing import cli
from truing.models.precision import best_flops

PATIENCE_S = 300

LOADED = (
    "torch._dynamo",  # what the first optimizer of a process loads
    "matplotlib.backends.backend_svg",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
    "tyro",
    "truing.demo.pipeline",
    "truing.evaluation.report",
    "truing.loop.sources",
    "truing.training.policy",
)


def become(request: dict, own: dict) -> NoReturn:
    """Be the command that is asked for, from its beginning to its end; `own` is what this one of several is told."""
    os.environ.update(request["environment"] | own)
    os.chdir(request["folder"])
    for number, path in enumerate((os.devnull, request["stdout"], request["stderr"])):
        os.dup2(os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    code: object = 0
    try:
        if request.get("first"):
            runpy.run_path(request["first"])
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


def codes_of(children: list[int]) -> list[int]:
    """What they end with. Those that are at work for ever, or wait for each other, are killed."""

    def end(*_: object) -> None:
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGALRM, end)
    signal.alarm(PATIENCE_S)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    signal.alarm(0)
    return codes


def main() -> None:
    """Answer until nobody asks any more."""
    cli._quiet()  # as a command does before it loads them
    for name in LOADED:
        import_module(name)
    best_flops()  # measured once a process
    for line in sys.stdin:
        request = json.loads(line)
        children = [request["code_of"]] if "code_of" in request else []
        for own in request.get("processes", ()):
            children.append(os.fork())
            if children[-1] == 0:
                become(request, own)
        answer = next(filter(None, codes_of(children)), 0) if request.get("wait", True) else children[0]
        print(answer, flush=True)


if __name__ == "__main__":
    main()
