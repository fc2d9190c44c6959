"""A process that has loaded the libraries once, and forks for each command.

Each command is a process of its own, with its own signals, exit code and memory, but for the five seconds of loading
torch. The parent reads requests, a line of JSON each, and answers at once: with the ids of the processes it forked; or,
asked for a `child`, with its exit code, which is null while it is at work.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
import traceback
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[1]
LIBRARIES = (
    "torch._dynamo",  # what the first optimizer of a process loads
    "matplotlib.backends.backend_svg",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
    "tyro",
)
TABLE = runpy.run_path(str(ROOT / "src" / "truing" / "commands.py"))["TABLE"]  # of this tree, whichever is driven
OURS = (
    "truing.evaluation.report",
    "truing.loop.sources",
    *sorted({command.entry.partition(":")[0] for command in TABLE.values() if command.heavy}),
)


def load(*names: str) -> None:
    """Load these modules for all commands."""
    for name in names:
        import_module(name)


def load_all() -> None:
    """Load the libraries and the package, and measure the machine.

    Measured once a process. Commands that measured for themselves would compute in other numbers on a busy machine.
    """
    from truing import cli

    cli._quiet()  # as a command does before it loads them
    load(*LIBRARIES, *OURS)
    import torch

    from truing.models.precision import NARROWEST, best_flops, dtype_of

    best_flops()
    dtype_of("auto", NARROWEST, torch.device("cpu"))


def become(request: dict, own: dict) -> NoReturn:
    """Be the command that is asked for, from its beginning to its end; `own` is what this one of several is told."""
    os.environ.update(request["environment"] | own)
    os.chdir(request["folder"])
    for number, path in enumerate((request["stdin"], request["stdout"], request["stderr"])):
        os.dup2(os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    code: object = 0
    try:
        from truing import cli

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


def serve() -> None:
    """Answer until nobody asks any more."""
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


class Forked:
    """Commands in processes that are forked from `parent`; `limit_s` is a bound for what hangs."""

    def __init__(self, parent, limit_s):
        self.parent, self.limit_s, self.count = parent, limit_s, 0

    def ask(self, request):
        self.parent.stdin.write(json.dumps(request) + "\n")
        self.parent.stdin.flush()
        answer = self.parent.stdout.readline()
        assert answer, "the process that forks has ended"
        return json.loads(answer)

    def begin(self, words, environment, folder, processes=({},), first="", stdin=""):
        """Start it, in as many processes as there are surroundings for. `first` is Python that runs before the command,
        to break what no seam can; `stdin` is what it is typed."""
        self.count += 1
        names = ("stdout", "stderr", "first.py", "stdin")
        stdout, stderr, script, typed = (folder / f".{self.count}.{name}" for name in names)
        request = {
            "argv": words,
            "environment": environment,
            "folder": str(folder),
            "processes": processes,
            "stdout": str(stdout),
            "stderr": str(stderr),
            "stdin": str(typed),
            "first": str(script),
        }
        script.write_text(first)
        typed.write_text(stdin)
        for path in (stdout, stderr):
            path.touch()
        return Begun(self, self.ask(request), stdout, stderr)

    def __call__(self, *given, **more):
        """Run it to its end."""
        begun = self.begin(*given, **more)
        try:
            begun.wait()
        finally:
            begun.kill()
        return begun


class Begun:
    """A command that was started, in one process or several; `codes` are what those that have ended ended with."""

    def __init__(self, forked, children, *paths):
        self.forked, self.children, self.paths = forked, children, paths
        self.codes = [None] * len(children)

    stdout = property(lambda self: self.paths[0].read_text(errors="replace"))
    stderr = property(lambda self: self.paths[1].read_text(errors="replace"))
    returncode = property(lambda self: next(filter(None, self.codes), 0))

    def has_ended(self):
        """Whether all its processes have."""
        for place, child in enumerate(self.children):
            if self.codes[place] is None:
                self.codes[place] = self.forked.ask({"child": child})
        return None not in self.codes

    def wait(self):
        """Until it has ended. Raises TimeoutError where that takes longer than anything should."""
        end = time.monotonic() + self.forked.limit_s
        while not self.has_ended():
            if time.monotonic() > end:
                raise TimeoutError(f"still at work after {self.forked.limit_s} s\n{self.stderr}")
            time.sleep(0.02)

    def send_signal(self, number):
        for child, code in zip(self.children, self.codes, strict=True):
            if code is None:
                os.kill(child, number)

    def kill(self):
        if not self.has_ended():
            self.send_signal(signal.SIGKILL)
            self.wait()


@contextmanager
def forking(prepare, environment, limit_s):
    """A process that calls `prepare`, such as "load_all()", and forks for each command it is asked for."""
    # The first of the paths would be the folder it is in, and each command changes that.
    code = f"import sys; sys.path[0] = {str(ROOT)!r}\nfrom tests.forked import *\n{prepare}\nserve()"
    words = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, cwd=ROOT, env=environment, text=True, **pipes) as parent:
        yield Forked(parent, limit_s)
        parent.stdin.close()
