"""THE TABLE of commands: a row each, which the command line, its help, the reference, the report and tests read.

It imports nothing of ours: a row names the function that does the work, and that is loaded when it is called for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, get_type_hints

LEARN = "from text to a policy"
PEOPLE = "people's judgements"
RESULTS = "what came of it"
WHOLE = "all of it"
MACHINE = "the machine"


COMPLETION = """\
The script is printed; a shell that has read it completes by the tab key:

    truing completion bash > ~/.truing.bash    and in ~/.bashrc: source ~/.truing.bash
    truing completion zsh > ~/.truing.zsh      and in ~/.zshrc: source ~/.truing.zsh
    truing completion fish > ~/.truing.fish    and in ~/.config/fish/config.fish: source ~/.truing.fish"""


@dataclass(frozen=True)
class Switch:
    """A flag that runs another function in place of the command; no setting is required then."""

    name: str
    about: str
    entry: str

    @property
    def function(self) -> Callable[..., Any]:
        """What runs in place of the command."""
        return resolve_name(self.entry)


@dataclass(frozen=True)
class Command:
    """A command of the command line."""

    name: str
    """As it is typed; an action of a group of commands has two words."""
    group: str
    """The heading of the help under which it stands."""
    about: str
    """What it does or makes, in a line."""
    entry: str
    """The function, as module:name, that takes its settings and does the work."""
    more: str = ""
    """What else --help and the reference say, in sentences."""
    heavy: bool = False
    """Whether it holds large tensors."""
    shared: bool = False
    """Whether several processes can work at it, by torchrun."""
    stores: bool = False
    """Whether feedback stores may stand among its data."""
    title: str = ""
    """The heading of the report on its run, if it makes one."""
    concludes: bool = False
    """Whether it ends with a report and the final figures."""
    switches: tuple[Switch, ...] = ()

    @property
    def function(self) -> Callable[..., Any]:
        """What does the work."""
        return resolve_name(self.entry)

    @property
    def description(self) -> str:
        """What it does, as a sentence, and what else there is to say."""
        return f"{self.about[0].upper()}{self.about[1:]}.\n{self.more}".strip()

    @property
    def settings(self) -> type:
        """The dataclass of its settings: what its function takes first."""
        return next(iter(get_type_hints(self.function).values()))


TABLE = {
    command.name: command
    for command in (
        Command(
            "pretrain", LEARN, "a small language model and its tokenizer from raw text",
            "truing.training.pretrain:train", heavy=True, shared=True,
            more="An example is a window of `context` tokens.", title="Pretraining", concludes=True,
        ),
        Command(
            "sft", LEARN, "fine-tune a language model on demonstrations",
            "truing.training.supervised:train", heavy=True, shared=True, stores=True,
            title="Supervised fine-tuning", concludes=True,
        ),
        Command(
            "sample", LEARN, "several answers to each prompt, scored and selected if wanted",
            "truing.loop.sample:train", heavy=True, stores=True, title="Sampling", concludes=True,
        ),
        Command(
            "reward", LEARN, "a reward model from people's comparisons and rankings",
            "truing.training.reward_model:train", heavy=True, shared=True, stores=True,
            more="An example is a judgement; a ranking of several answers is one. More than one pass soon overfits "
                 "(Ouyang et al. 2022).",
            title="Reward model", concludes=True,
        ),
        Command(
            "rl", LEARN, "optimise a policy against a reward: PPO and its relatives",
            "truing.training.policy:train", heavy=True, shared=True, stores=True,
            more="The algorithm is a row of a table (docs/algorithms.md), whose numbers and functions can be replaced.",
            title="Policy optimisation", concludes=True,
            switches=(Switch("explain", "prints the algorithm's row in full, and trains nothing",
                             "truing.training.policy:explain"),),
        ),
        Command(
            "label", PEOPLE, "a page where people judge a model's answers, into a store", "truing.loop.live:serve",
        ),
        Command(
            "feedback import", PEOPLE, "judgements, sampled answers and prompts from files into a store",
            "truing.feedback.commands:import_",
        ),
        Command(
            "feedback export", PEOPLE, "a snapshot's judgements as a file, with a manifest beside it",
            "truing.feedback.commands:export",
        ),
        Command(
            "feedback stats", PEOPLE, "progress, agreement, biases and people of a store",
            "truing.feedback.commands:stats",
        ),
        Command(
            "feedback snapshot", PEOPLE, "freeze what stands now; training names it by its id",
            "truing.feedback.commands:take_snapshot",
        ),
        Command(
            "feedback backup", PEOPLE, "a whole copy of a SQLite store, while it is in use",
            "truing.feedback.commands:backup",
        ),
        Command(
            "feedback round", PEOPLE, "open the next round, close the open one with a snapshot, or list them",
            "truing.feedback.commands:turn_round",
        ),
        Command(
            "feedback review", PEOPLE, "have judgements drawn at random reviewed by another person",
            "truing.feedback.commands:review",
        ),
        Command(
            "evaluate", RESULTS, "reward, drift, entropy, length of a policy, with intervals; best-of-n",
            "truing.evaluation.evaluate:evaluate", heavy=True, title="Evaluation", concludes=True,
        ),
        Command(
            "compare", RESULTS, "win rate of one policy against another",
            "truing.evaluation.compare:evaluate", heavy=True, title="Comparison", concludes=True,
        ),
        Command("chat", RESULTS, "talk with a policy", "truing.evaluation.chat:talk"),
        Command("report", RESULTS, "write a run's report.html again", "truing.evaluation.report:show",
            more="Curves, samples and figures on one page that stands alone."),
        Command(
            "export", RESULTS, "a policy as a plain model folder, or judgements in another layout",
            "truing.evaluation.export:show", more="Give exactly one of `model` and `data`.",
        ),
        Command(
            "demo", WHOLE, "the whole pipeline on made-up data, on a laptop, in minutes",
            "truing.demo.pipeline:run", heavy=True, title="The whole pipeline",
        ),
        Command(
            "bench", MACHINE, "how fast this machine is, and how near sampling and learning come to that",
            "truing.loop.bench:show", heavy=True,
        ),
        Command(
            "doctor", MACHINE, "whether this machine, a run or a store is well, and what to do",
            "truing.loop.doctor:check",
            more="Versions, space, precision; whether files are whole. The last line is OK, or how much is wrong.",
        ),
        Command(
            "completion", MACHINE, "a script by which bash, zsh or fish complete commands and options",
            "truing.completion:show", more=COMPLETION,
        ),
    )
}  # fmt: skip
FAMILIES = {"feedback": "what is done with a store"}  # first words of commands of two


def actions(family: str) -> dict[str, Command]:
    """The commands of two words that begin with this one, by the second."""
    first = f"{family} "
    return {name.removeprefix(first): command for name, command in TABLE.items() if name.startswith(first)}


def first_words() -> dict[str, tuple[str, str]]:
    """What may be typed first: under which heading it stands, and what it is about."""
    words: dict[str, tuple[str, str]] = {}
    for name, command in TABLE.items():
        family, space, _ = name.partition(" ")
        about = f"{', '.join(actions(family))}: {FAMILIES[family]}" if space else command.about
        words[family] = command.group, about
    return words
