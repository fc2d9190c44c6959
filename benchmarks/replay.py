"""Whether the working tree computes what another revision does: `make replay REV=<commit>`.

Every stage runs at tiny size, by the commands a user types, on both: pretraining, SFT, sampling, reward models, PPO and
GRPO, with and without LoRA, an evaluation, and a PPO that is killed in the middle of an iteration and resumed. What the
revision leaves of a killed PPO, SFT and reward model, the working tree resumes, too, or refuses in a line that names
the version. All weights with what is saved beside them, all figures of updates and summaries and all generated texts
are the same to the bit, or the first difference is named and the exit status is 1. A figure that only the working tree
has, a new metric say, is listed and is no difference.

The commands are one list for both trees, with the flags both understand, in float32 on one thread of the processor.
Each is a process of its own, forked from one that has loaded the libraries, which would take half the time.
Metrics that were renamed in between are compared by their present names (`truing.evaluation.report.RENAMED`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from tests.forked import Begun, Forked, forking

from benchmarks.revision import ROOT, commit_of, worktree
from truing.evaluation.report import present_names
from truing.fault_points import VARIABLE

RESUMED = "resumed"
CARRIED = {"carried": "ppo", "carried-sft": "sft", "carried-reward": "reward"}
AT_ONCE = {RESUMED: "ppo", **CARRIED}  # runs that are killed and resumed, and the one each ends as
KILLED = {"ppo": "kill@minibatch:20", "sft": "kill@update:5", "reward": "kill@update:5"}  # 16 minibatches an iteration
LIMIT_S = 900  # of one command: a bound for what hangs
DISTRIBUTED = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
FIXED = {
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "PYTHONHASHSEED": "0",  # PEFT writes a set down
}
SEED, LR, LORA = "--seed 3", "--learning.precision float32 --learning.lr 1e-3", "--lora.lora-rank 4"
STATE = "--save-state-s 0"  # after every update, so that a killed run resumes in the middle
RL = (
    f"rl --model sft --data prompts.jsonl --iterations 3 --prompts-per-iteration 8 --sampling.max-new-tokens 8 "
    f"--evaluation-prompts 4 --tug-every 2 --check-every 1 {SEED} {LR} {STATE}"
)
PPO = (
    f"{RL} --reward reward.py:many_vowels reward --critic-from reward --scale-rewards --kl-target 2 --held-out 0.2 "
    "--missing-end-penalty 1 --pretrain-data demonstrations.jsonl --pretrain-weight 0.1"
)
GRPO = f"{RL} --reward reward --algorithm grpo --override answers 4"
SUPERVISED = f"--epochs 2 --batch-size 8 {SEED} {LR} {STATE}"

# One row a run, in order: its folder's name and its command, in a folder where the runs before it lie.
RUNS = {
    "pretrain": f"pretrain --data texts.jsonl --vocabulary 300 --width 32 --layers 2 --heads 2 --context 64 "
    f"--batch-size 4 --epochs 2 {SEED} {LR} {STATE}",
    "sft": f"sft --model pretrain --data demonstrations.jsonl --evaluate-every 2 {SUPERVISED}",
    "sft-lora": f"sft --model pretrain --data demonstrations.jsonl {LORA} {SUPERVISED}",
    "sample": f"sample --model pretrain --data few_prompts.jsonl --answers 4 --sampling.max-new-tokens 8 "
    f"--sampling.top-p 0.95 --precision float32 {SEED} {STATE}",
    "reward": f"reward --model sft --data comparisons.jsonl --language-weight 0.1 {SUPERVISED}",
    "reward-lora": f"reward --model sft --data comparisons.jsonl {LORA} {SUPERVISED}",
    "ppo": PPO,
    "ppo-lora": f"{RL} --reward reward-lora --critic-from trunk {LORA}",
    "grpo": f"{GRPO} --reference-every 2",
    "grpo-lora": f"{GRPO} {LORA}",
    "evaluate": f"evaluate --model ppo --reference sft --data prompts.jsonl --reward reward --prompts 12 {SEED}",
}
RUNS |= {name: RUNS[at_once] for name, at_once in AT_ONCE.items()}


class DifferenceError(Exception):
    """What a revision and the working tree compute differently: the first of it, with its place."""


class FailedError(Exception):
    """A command that ended otherwise than it should, with the last line it printed."""


@dataclass(frozen=True)
class Tree:
    """A source tree that runs commands in a folder of its own."""

    name: str
    folder: Path
    forked: Forked

    def begin(self, name: str, fault: str = "") -> Begun:
        """Start the command of a row of RUNS, to be killed at a fault (`truing.fault_points`)."""
        words = [*RUNS[name].split(), "--out", name]
        return self.forked.begin(words, {VARIABLE: fault} if fault else {}, self.folder)


@contextmanager
def tree_at(name: str, source: Path, folder: Path, prepare: str = "load(*LIBRARIES)") -> Iterator[Tree]:
    """A tree with the inputs of its commands and a process that runs them, once it has called `prepare`."""
    kept = {k: v for k, v in os.environ.items() if k not in DISTRIBUTED and k != VARIABLE}
    write_inputs(folder)
    with forking(prepare, kept | FIXED | {"PYTHONPATH": str(source / "src")}, LIMIT_S) as forked:
        yield Tree(name, folder, forked)


def run(trees: Sequence[Tree], name: str, fault: str = "") -> None:
    """Run a row of RUNS on all trees at once. Raises FailedError where one ends otherwise than it should."""
    started = [tree.begin(name, fault) for tree in trees]
    try:
        for tree, command in zip(trees, started, strict=True):
            command.wait()
            if command.returncode != (-signal.SIGKILL if fault else 0):
                lines = (command.stderr or command.stdout).strip().splitlines() or ["no output"]
                raise FailedError(f"{name} ({tree.name}) ended with {command.returncode}: {lines[-1]}")
    except TimeoutError as error:
        raise FailedError(f"{name}: {error}") from None
    finally:
        for command in started:
            command.kill()


def run_resumed(trees: Sequence[Tree], name: str) -> None:
    """Run it to its kill, and again to its end. Raises FailedError where the second began anew."""
    run(trees, name, KILLED[AT_ONCE[name]])
    killed = [_rows(tree.folder / name / "metrics.jsonl") for tree in trees]
    run(trees, name)
    for tree, before in zip(trees, killed, strict=True):
        _refuse_anew(tree, name, before)


def run_carried(trees: Sequence[Tree], name: str) -> str:
    """Run it to its kill on the revision, and resume it on the working tree. Returns the line in which that refuses to.

    Raises FailedError where it ends otherwise, begins anew, or does not name the version that wrote the state.
    """
    before, here = trees
    run([before], name, KILLED[AT_ONCE[name]])
    shutil.copytree(before.folder / name, here.folder / name)
    killed = _rows(before.folder / name / "metrics.jsonl")
    try:
        run([here], name)
    except FailedError as error:
        if "saved by Truing" in str(error):
            return str(error)
        raise
    _refuse_anew(here, name, killed)
    return ""


def _refuse_anew(tree: Tree, name: str, killed: list[dict[str, Any]]) -> None:
    """A run that was resumed keeps its first update, with its time, which no second run has."""
    after = _rows(tree.folder / name / "metrics.jsonl")
    if not killed or after[:1] != killed[:1]:
        raise FailedError(f"{name} ({tree.name}) was not resumed: its first update was computed again")


def write_inputs(folder: Path) -> None:
    """Small data for every stage, and a reward function."""
    rng = random.Random(0)
    words = ["cat", "dog", "mat", "park", "bird", "tree", "lemon", "grass", "yellow", "green", "ran", "sat", "sang"]

    def text(count: int) -> str:
        return " ".join(rng.choice(words) for _ in range(count))

    prompts = [text(4) for _ in range(40)]
    rows = {
        "demonstrations": [{"prompt": p, "completion": text(rng.randrange(3, 9))} for p in prompts],
        "comparisons": [{"prompt": p, "chosen": text(6), "rejected": text(4)} for p in prompts],
        "prompts": [{"prompt": p} for p in prompts],
        "few_prompts": [{"prompt": p} for p in prompts[:12]],
        "texts": [{"text": text(12)} for _ in range(40)],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, some in rows.items():
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, some)) + "\n")
    (folder / "reward.py").write_text(
        "def many_vowels(prompt, response):\n    return sum(c in 'aeiou' for c in response) / 10\n"
    )


def _saved(run: Path) -> Iterator[tuple[str, Any]]:
    """Type, shape and bytes of every tensor a run keeps, and the settings beside it; not what only resuming reads."""
    for path in sorted(run.rglob("*.safetensors")):
        where = path.relative_to(run)
        if "state" in where.parts:
            continue
        with safe_open(path, "pt") as tensors:
            for name in sorted(tensors.keys()):
                value = tensors.get_tensor(name)
                digest = hashlib.sha256(value.flatten().view(torch.uint8).numpy().tobytes()).hexdigest()
                yield f"{where}, {name}", f"{value.dtype} {tuple(value.shape)} {digest}"
        for beside in sorted(path.parent.glob("*.json")):
            # An adapter names its base.
            text = beside.read_text(encoding="utf-8").replace(str(run.resolve().parent), "")
            yield from ((f"{where.parent}/{beside.name}, {key}", value) for key, value in json.loads(text).items())


def _rows(path: Path) -> list[dict[str, Any]]:
    # A row ends at a newline only: splitlines would cut at line separators within a text, too.
    lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
    return [json.loads(line) for line in lines if line]


def outcome(run: Path) -> dict[str, Any]:
    """Everything a run computed, by place and name: updates first, for they differ first."""
    found: dict[str, Any] = {}
    for number, row in enumerate(_rows(run / "metrics.jsonl"), 1):
        found |= _figures(f"update {number}", row)
    for name in ("responses.jsonl", "samples.jsonl"):
        for number, row in enumerate(_rows(run / name), 1):
            found |= {f"{name} row {number}, {key}": value for key, value in row.items()}
    if (run / "summary.json").exists():
        found |= _figures("summary", json.loads((run / "summary.json").read_text(encoding="utf-8")))
    return found | dict(_saved(run))


def _figures(where: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row's figures by place and present name."""
    return {f"{where}, {name}": value for name, value in present_names(row).items() if not _depends_on_time(name)}


def _depends_on_time(name: str) -> bool:
    """Whether a figure measures time or, as how often the state was saved, follows from it."""
    return name.startswith(("time", "rate/")) or name.endswith("_s") or name == "states_saved"


def compare(name: str, before: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Names of figures that are only here. Raises DifferenceError at the first other thing that is not the same."""
    for where, value in before.items():
        if where not in here:
            raise DifferenceError(f"{name}: {where}: {_short(value)} before, missing now")
        if _as_json(here[where]) != _as_json(value):  # not ==, for which NaN differs from itself
            raise DifferenceError(f"{name}: {where}: {_short(value)} before, {_short(here[where])} now")
    if not before:
        raise DifferenceError(f"{name}: nothing came out")
    places = {where.rpartition(", ")[0] for where in before}
    new = [where.rpartition(", ") for where in here if where not in before]
    for place, comma, figure in new:
        if place not in places or place.endswith(".safetensors"):
            value = _short(here[f"{place}{comma}{figure}"])
            raise DifferenceError(f"{name}: {place}, {figure}: {value} now, not there before")
    return sorted({figure for _, _, figure in new})


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def compared(trees: Sequence[Tree], name: str) -> str:
    """Run it on both trees and compare what comes out. Returns what is to be said of it; raises DifferenceError."""
    run(trees, name)
    return same(name, *(outcome(tree.folder / name) for tree in trees))


def compared_resumed(trees: Sequence[Tree], name: str) -> str:
    """The same of a run that is killed and resumed, which is compared with that in one go, too."""
    run_resumed(trees, name)
    before, here = (outcome(tree.folder / name) for tree in trees)
    at_once = AT_ONCE[name]
    same(f"{name} beside {at_once} in one go", outcome(trees[1].folder / at_once), here)
    return same(name, before, here)


def compared_carried(trees: Sequence[Tree], name: str) -> str:
    """The same of a run that the working tree resumes, unless it refuses to."""
    refusal = run_carried(trees, name)
    return refusal or same(name, outcome(trees[0].folder / AT_ONCE[name]), outcome(trees[1].folder / name))


COMPARED = {RESUMED: compared_resumed, **dict.fromkeys(CARRIED, compared_carried)}


def same(name: str, before: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """How much of it is the same, and what is new. Raises DifferenceError where something is not the same."""
    only_here = compare(name, before, here)
    return f"same: {len(before)} values" + (f"; new: {', '.join(only_here)}" if only_here else "")


def replay(trees: Sequence[Tree], runs: Sequence[str], log: Callable[[str], None]) -> None:
    """Run and compare; `trees` are the revision and the working tree. Raises DifferenceError and FailedError."""
    for name in runs:
        begun = time.monotonic()
        line = COMPARED.get(name, compared)(trees, name)
        log(f"{name:<14} {line}, {time.monotonic() - begun:.0f} s")


def needed(names: Sequence[str]) -> set[str]:
    """These runs, all whose folders they read, and those in one go that resumed ones are compared with."""
    found = set(names) | {AT_ONCE[name] for name in names if name in AT_ONCE}
    while True:
        read = {name for run in found for name in RUNS if name in RUNS[run].split()[1:]}
        if read <= found:
            return found
        found |= read


def main(argv: Sequence[str] | None = None) -> int:
    """0: the same; 1: not the same, or a command failed. Exits with 2 where there is no such revision."""
    parser = argparse.ArgumentParser(prog="replay", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("revision", type=commit_of, help="commit, branch or tag to compare the working tree with")
    parser.add_argument(
        "--only", nargs="+", choices=RUNS, metavar="RUN", help="these runs, with those whose folders they read"
    )
    words = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    runs = [name for name in RUNS if not words.only or name in needed(words.only)]
    folder, begun, commit = Path(tempfile.mkdtemp(prefix="replay-")), time.monotonic(), words.revision
    try:
        # A copy of the working tree, which may be edited while this runs.
        shutil.copytree(ROOT / "src", folder / "now" / "src", ignore=shutil.ignore_patterns("__pycache__"))
        with (
            worktree(commit, folder / "tree") as source,
            tree_at(commit[:7], source, folder / "before") as before,
            tree_at("here", folder / "now", folder / "here") as here,
        ):
            replay((before, here), runs, lambda line: print(line, flush=True))
    except (DifferenceError, FailedError) as error:
        what = "different" if isinstance(error, DifferenceError) else "not compared"
        print(f"replay: {what}: {error}\nThe runs of both sides are in {folder}", file=sys.stderr)
        return 1
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder)
    print(f"replay: same as {commit[:7]}: {len(runs)} runs, {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
