"""A process that has loaded everything once, and forks for each command: `python -m tests.forked`.

Each command is a process of its own, with its own signals, exit code and memory, but for the five seconds of loading
torch. It reads requests, a line of JSON each, and answers at once: with the ids of the processes that it forked; or,
asked for a `child`, with its exit code, which is null while it is at work.
"""

import json
import os
import runpy
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

import torch

from truing import cli
from truing.models.precision import NARROWEST, best_flops, dtype_of

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


def code_of(child: int) -> int | None:
    """What it ended with; None while it is at work."""
    ended, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def main() -> None:
    """Answer until nobody asks any more."""
    cli._quiet()  # as a command does before it loads them
    for name in LOADED:
        import_module(name)
    # Measured once a process. Commands that measured for themselves would compute in other numbers on a busy machine.
    best_flops()
    dtype_of("auto", NARROWEST, torch.device("cpu"))
    for line in sys.stdin:
        request = json.loads(line)
        if "child" in request:
            print(json.dumps(code_of(request["child"])), flush=True)
            continue
        children = []
        for own in request["processes"]:
            children.append(os.fork())
            if children[-1] == 0:
                become(request, own)
        print(json.dumps(children), flush=True)


if __name__ == "__main__":
    main()
