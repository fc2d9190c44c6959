"""The command line: parse, call one function, print."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any, TypeVar

from truing.errors import RunEnds, UserError, nearest

C = TypeVar("C")

HELP = """\
usage: truing COMMAND [--config FILE] [options]      (truing help COMMAND tells all options)

Reinforcement learning from human feedback, from a base model to an aligned one.

from text to a policy
  pretrain    a small language model and its tokenizer from raw text
  sft         fine-tune a language model on demonstrations
  sample      several answers to each prompt, scored and selected if wanted
  reward      a reward model from people's comparisons and rankings
  rl          optimise a policy against a reward: PPO and its relatives
people's judgements
  label       a page where people judge a model's answers, into a store
  feedback    import, export, stats, snapshot, backup, round, review: what is done with a store
what came of it
  evaluate    reward, drift, entropy, length of a policy, with intervals; best-of-n
  compare     win rate of one policy against another
  chat        talk with a policy
  report      write a run's report.html again
  export      a policy as a plain model folder, or judgements in another layout
all of it
  demo        the whole pipeline on made-up data, on a laptop, in minutes
the machine
  bench       how fast it is, and how near sampling and learning come to that
  doctor      whether it, a run's folder or a store is well, and what to do
  completion  a script by which bash, zsh or fish complete all this

Several processes learn together: torchrun --nproc-per-node N -m truing sft … (and pretrain, reward, rl).
A model is a hub id, a folder, or an earlier run's folder; data are files or earlier runs.
Every run is a folder: config.toml, summary.json, report.html; metrics.jsonl, samples.jsonl, model/ where it has them.
"""


def pretrain(argv: Sequence[str]) -> None:
    """A small language model and its tokenizer from raw text."""
    from truing.training.pretrain import Config, train

    config = _parse(Config, argv, "pretrain")
    train(config)
    _conclude(config.out)


def sft(argv: Sequence[str]) -> None:
    """Fine-tune a language model on demonstrations."""
    from truing.training.supervised import Config, train

    _from_stores(train, _parse(Config, argv, "sft"))


def sample(argv: Sequence[str]) -> None:
    """Several answers to each prompt."""
    from truing.training.sample import Config, train

    _from_stores(train, _parse(Config, argv, "sample"))


def reward(argv: Sequence[str]) -> None:
    """A reward model from judgements."""
    from truing.training.reward_model import Config, train

    _from_stores(train, _parse(Config, argv, "reward"))


def rl(argv: Sequence[str]) -> None:
    """Optimise a policy against a reward."""
    if "--explain" in argv:
        return _explain(argv)
    from truing.training.policy import Config, train

    _from_stores(train, _parse(Config, argv, "rl"))


def label(argv: Sequence[str]) -> None:
    """A page where people judge a model's answers."""
    from truing.feedback.label import Config, serve
    from truing.feedback.replies import Reply

    config = _parse(Config, argv, "label")

    def local(name: str) -> tuple[Reply, str]:
        from truing.generation.reply import LocalReply, checkpoint_hash
        from truing.generation.sampling import Sampling

        sampling = Sampling(temperature=config.temperature, max_new_tokens=config.max_new_tokens)
        return LocalReply(name, sampling), checkpoint_hash(name)

    serve(config, local)


def feedback(argv: Sequence[str]) -> None:
    """What is done with a store of judgements: import, export, stats, snapshot, backup, round, review."""
    from truing.config import parse
    from truing.feedback.commands import ACTIONS, action_named

    if not argv or argv[0] in ("-h", "--help"):
        print("usage: truing feedback ACTION [options]      (truing feedback ACTION --help tells all options)\n")
        for name, (config, _) in ACTIONS.items():
            print(f"  {name:<10} {(config.__doc__ or '').splitlines()[0]}")
        raise SystemExit(0 if argv else 2)
    config, act = action_named(argv[0])
    act(parse(config, argv[1:], prog=f"truing feedback {argv[0]}", description=config.__doc__ or ""))


def evaluate(argv: Sequence[str]) -> None:
    """Figures of one policy."""
    from truing.evaluation.drift import Config, evaluate

    config = _parse(Config, argv, "evaluate")
    evaluate(config)
    _conclude(config.out)


def compare(argv: Sequence[str]) -> None:
    """Win rate of one policy against another."""
    from truing.evaluation.winrate import Config, evaluate

    config = _parse(Config, argv, "compare")
    evaluate(config)
    _conclude(config.out)


def chat(argv: Sequence[str]) -> None:
    """Talk with a policy."""
    from truing.evaluation.chat import Config, talk

    talk(_parse(Config, argv, "chat"))


def export(argv: Sequence[str]) -> None:
    """A policy as a plain model folder, or judgements in another layout."""
    from truing.evaluation.export import Config, write

    print(write(_parse(Config, argv, "export")))


def report(argv: Sequence[str]) -> None:
    """Write a run's report again."""
    from truing.evaluation import report as page

    if len(argv) != 1 or argv[0].startswith("-"):
        print("usage: truing report RUN      writes RUN/report.html: curves, samples, figures on one page")
        raise SystemExit(0 if "--help" in argv or "-h" in argv else 2)
    print(page.write(argv[0]))


def demo(argv: Sequence[str]) -> None:
    """The whole pipeline on made-up data."""
    from truing.demo.pipeline import Config, run

    run(_parse(Config, argv, "demo"))


def bench(argv: Sequence[str]) -> None:
    """How fast this machine is, and how near sampling and learning come to that."""
    from truing.loop.bench import Config, show

    show(_parse(Config, argv, "bench"))


def doctor(argv: Sequence[str]) -> None:
    """Whether machine, runs and stores are well."""
    from truing.loop.doctor import examine, show

    if any(argument.startswith("-") for argument in argv):
        print("usage: truing doctor [--help] [RUN or STORE ...]   versions, space, precision; whether files are whole")
        raise SystemExit(0 if "--help" in argv or "-h" in argv else 2)
    if not show(examine(list(argv))):
        raise SystemExit(1)


def completion(argv: Sequence[str]) -> None:
    """A script by which a shell completes commands, options and values."""
    from truing import completion as shells
    from truing.feedback.commands import ACTIONS

    if len(argv) != 1 or argv[0] not in shells.SHELLS:
        print(shells.USAGE)
        raise SystemExit(0 if "--help" in argv or "-h" in argv else 2)
    configs = {name: import_module(module).Config for name, module in SETTINGS.items()}
    configs |= {f"feedback {name}": config for name, (config, _) in ACTIONS.items()}
    print(shells.script(argv[0], COMMANDS, configs), end="")


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    command.__name__: command
    for command in (
        pretrain,
        sft,
        sample,
        reward,
        rl,
        label,
        feedback,
        evaluate,
        compare,
        chat,
        report,
        export,
        demo,
        bench,
        doctor,
        completion,
    )
}

SETTINGS = {
    "pretrain": "truing.training.pretrain",
    "sft": "truing.training.supervised",
    "sample": "truing.training.sample",
    "reward": "truing.training.reward_model",
    "rl": "truing.training.policy",
    "label": "truing.feedback.label",
    "evaluate": "truing.evaluation.drift",
    "compare": "truing.evaluation.winrate",
    "chat": "truing.evaluation.chat",
    "export": "truing.evaluation.export",
    "demo": "truing.demo.pipeline",
    "bench": "truing.loop.bench",
}  # where the options of a command stand, as a class called Config


LARGE = (
    "pretrain",
    "sft",
    "sample",
    "reward",
    "rl",
    "evaluate",
    "compare",
    "demo",
    "bench",
)  # commands that hold large tensors


SHARED = ("pretrain", "sft", "reward", "rl")  # commands that several processes can work at


def _parse(config: type[C], argv: Sequence[str], command: str) -> C:
    from truing.config import parse

    return parse(config, argv, prog=f"truing {command}", description=COMMANDS[command].__doc__ or "")


def _from_stores(train: Callable[..., object], config: Any) -> None:
    """A stage whose data may be feedback stores."""
    from truing.loop import sources

    config = sources.pinned(config)
    train(config, read=sources.read)
    _conclude(config.out)


def _explain(argv: Sequence[str]) -> None:
    """Print a row of the table in full."""
    from truing.training.algorithms import explain
    from truing.training.policy import Config

    asked = [word for word in argv if word != "--explain"]
    config = _parse(Config, ["--model", "-", "--data", "-", "--reward", "-", *asked], "rl")  # which no row needs
    print(f"{config.algorithm}\n")
    for key, value, meaning in explain(config.row):
        print(f"  {key:<13} {value:<28} {meaning}")


def _conclude(folder: str) -> None:
    """Write the report and print the final figures."""
    import json
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from truing.evaluation import report as page
    from truing.maths.statistics import interval_text
    from truing.training import processes

    if processes.rank():
        return
    path = page.write(folder)
    summary = json.loads((Path(folder) / "summary.json").read_text(encoding="utf-8"))
    table = Table(show_header=False, box=None)
    for name, value in summary.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            interval = summary.get(f"{name}_interval")
            table.add_row(name, f"{value:.4g}", interval_text(interval) if interval else "")
    Console(soft_wrap=True, markup=False).print(table)
    print(f"\nmodel and figures: {folder}\nreport: {path}")


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
        print(HELP, end="")
        return
    if argv[0] in ("-V", "--version"):
        from truing import __version__

        print(f"truing {__version__}")
        return
    if argv[0] not in COMMANDS:
        _refuse(f'there is no command "{argv[0]}"; {nearest(argv[0], COMMANDS)}')
    _quiet()
    if argv[0] in LARGE:
        _share_cores()
        from truing.models.memory import keep_freed_memory

        keep_freed_memory()
    try:
        with _together(argv[0]):
            COMMANDS[argv[0]](argv[1:])
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


def _together(command: str) -> AbstractContextManager[None]:
    """The processes that `torchrun` started as one training; only what learns can be shared."""
    if "RANK" not in os.environ or os.environ.get("WORLD_SIZE", "1") == "1":
        return nullcontext()
    if command not in SHARED:
        _refuse(f"{command} works in one process; several, by torchrun, learn in {', '.join(SHARED)}")
    from truing.training.processes import joined

    return joined()


def _refuse(message: str, code: int = 2) -> None:
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
