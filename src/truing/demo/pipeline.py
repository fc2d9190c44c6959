"""The whole pipeline on made-up data: from nothing to a policy that people, simulated ones, like better."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from truing.data import formats
from truing.data.records import Conversation, Prompt, Ranking, Record, Response
from truing.data.settings import DataSettings
from truing.demo import corpus
from truing.demo.preference import true_preference
from truing.evaluation import report
from truing.evaluation.compare import win_rate
from truing.evaluation.evaluate import drift, shape
from truing.evaluation.judge import by_reward, outcomes
from truing.feedback.people.simulated import Annotator, ceiling, rank
from truing.generation.local import LocalGenerator
from truing.generation.records import generate, requests
from truing.generation.sampling import Sampling
from truing.loop import sample
from truing.models.loading import load_chat, load_policy
from truing.models.memory import MicroBatches
from truing.runs.run import Result, Run, is_finished, replace_text, to_json
from truing.runs.settings import OutputSettings, RunSettings
from truing.settings import Flat, require
from truing.training import policy, pretrain, reward_model, supervised
from truing.training.loop import PassSettings
from truing.training.optimize import Learning
from truing.training.policy.algorithms import algorithm
from truing.training.policy.scoring import ScoreSettings

C = TypeVar("C", pretrain.Config, supervised.Config, sample.Config, reward_model.Config, policy.Config)


@dataclass(frozen=True)
class Config:
    """The whole pipeline on made-up data."""

    error_rate: float = 0.1
    """Share of pairs that the simulated annotators order wrongly."""
    annotators: int = 4
    """How many of them there are."""
    algorithm: str = "ppo"
    """The row of the table that optimises the policy."""
    iterations: int = 50
    """Rounds of policy optimisation."""
    scale: float = 1.0
    """Share of the full work: below 1 for a quick look, whose figures mean little."""
    run: Flat[OutputSettings] = OutputSettings("runs/demo")
    """The folder: one run inside it for each stage, and the report of them all."""

    def __post_init__(self) -> None:
        require(
            self,
            ("error_rate", 0 <= self.error_rate < 0.5, "at least 0, below 0.5"),
            ("annotators", self.annotators >= 1, "1 or more"),
            ("algorithm", bool(algorithm(self.algorithm)), "a row of the table"),
            ("iterations", self.iterations >= 1, "1 or more"),
            ("scale", 0 < self.scale <= 1, "above 0, at most 1"),
        )


SAMPLING = Sampling(max_new_tokens=48)
DOCUMENTS = 14_000  # of the pretraining text


def run(config: Config) -> Result:
    """All stages, each a run of its own in the demo's folder."""
    start = time.perf_counter()
    with Run.open(config.run, config, "demo") as whole:
        folder = whole.folder
        data = write_data(config, folder / "data")
        step = _Steps(folder)
        step("pretrain a language model on made-up questions and answers")
        _unless_done(pretrain.train, _pretrain(config, folder, data))
        step("fine-tune it on demonstrations of mixed quality")
        _unless_done(supervised.train, _sft(config, folder, data))
        step("sample four answers to each prompt")
        _unless_done(sample.train, _sample(config, folder, data))
        read = formats.read(str(folder / "sample" / "responses.jsonl"), (Conversation,))
        conversations = [record for record in read if isinstance(record, Conversation)]
        step("let simulated annotators rank them")
        judged = annotate(conversations, config)
        formats.write(judged, data / "rankings.jsonl")
        step("train the reward model on their rankings")
        _unless_done(reward_model.train, _reward(config, folder, data))
        step(f"optimise the policy: {config.algorithm}")
        _unless_done(policy.train, _policy(config, folder, data))
        step("evaluate against the hidden true preference")
        summary = evaluate(config, folder, data, whole)
        summary["minutes"] = (time.perf_counter() - start) / 60
        result = whole.finish(summary | {"table": table(summary, config)})
    for name in ("pretrain", "sft", "sample", "reward", "rl"):
        report.write(folder / name)
    page = report.write(folder)
    _show(summary, config, page)
    return result


def _unless_done(train: Callable[[C], object], config: C) -> None:
    """Run a stage, or go on with it, unless it is finished with these very settings: a demo broken off goes on."""
    if config.run.fresh or not is_finished(config.run.out, config):
        train(config)


def write_data(config: Config, folder: Path) -> Path:
    """The made-up files that a user would bring: texts, demonstrations, prompts."""
    folder.mkdir(parents=True, exist_ok=True)
    documents = corpus.dialogues(config.run.seed, _scaled(DOCUMENTS, config))
    rows = [to_json({"text": f"{prompt.text}\n{answer}"}) for prompt, answer in documents]
    replace_text(folder / "texts.jsonl", "\n".join(rows) + "\n")
    files: dict[str, Sequence[Record]] = {
        "demonstrations": corpus.demonstrations(config.run.seed + 1, _scaled(8000, config)),
        "prompts": corpus.prompts(config.run.seed + 2, _scaled(3200, config), "train"),
        "held_out_prompts": corpus.prompts(config.run.seed + 3, _scaled(300, config), "test"),
    }
    for name, records in files.items():
        formats.write(records, folder / f"{name}.jsonl")
    return folder


def annotate(conversations: Sequence[Conversation], config: Config) -> list[Ranking]:
    """Each prompt's answers ranked by one of the annotators, taken in turn."""
    rng = np.random.default_rng(config.run.seed)
    people = [Annotator(name=f"annotator-{i + 1}", error_rate=config.error_rate) for i in range(config.annotators)]
    return [
        rank(people[i % len(people)], c.prompt, [r.text for r in c.responses], true_preference, rng)
        for i, c in enumerate(conversations)
    ]


def true_reward(prompts: Sequence[Prompt], responses: Sequence[Response]) -> list[float]:
    """The hidden preference as a judge: no stage of learning ever sees it."""
    return [true_preference(p, r.text) for p, r in zip(prompts, responses, strict=True)]


def evaluate(config: Config, folder: Path, data: Path, whole: Run) -> dict[str, Any]:
    """Before and after on held-out prompts, judged by the true preference."""
    prompts = [p for p in formats.read(str(data / "held_out_prompts.jsonl"), (Prompt,)) if isinstance(p, Prompt)]
    chat = load_chat(str(folder / "sft"))
    before, after = load_policy(str(folder / "sft")), load_policy(str(folder / "rl"))
    of_before, of_after = (
        generate(LocalGenerator(policy, chat), chat, requests(prompts, 1, config.run.seed + number), SAMPLING)
        for policy, number in ((before, 101), (after, 102))
    )
    asked, old, new = of_before.prompts, of_before.responses, of_after.responses
    for phase, said in (("before", old), ("after", new)):
        for prompt, answer, score in zip(asked, said, true_reward(asked, said), strict=True):
            whole.sample(0, phase, prompt=prompt.text, response=answer.text, score=score)
    reward = _summary(folder / "reward")
    summary = win_rate(asked, [won for _, won in outcomes(by_reward(true_reward), asked, new, old)])
    summary |= {k: reward[k] for k in reward if k.startswith("reward_model_accuracy") or k.endswith("wins_accuracy")}
    summary["reward_model_ceiling"] = ceiling(config.error_rate)
    summary |= drift(after, before, of_after.rollouts, SAMPLING.temperature, MicroBatches(8192, whole.say))
    summary["true_score_before"] = float(np.mean(true_reward(asked, old)))
    summary["true_score_after"] = float(np.mean(true_reward(asked, new)))
    for phase, said in (("before", old), ("after", new)):
        summary |= {f"{name}_{phase}": value for name, value in shape(said).items()}
    return summary


def table(summary: dict[str, Any], config: Config) -> list[list[str]]:
    """The few figures that tell whether it worked: name, value, note."""
    low, high = summary["win_rate_interval"]
    rows = [["win rate against SFT", f"{summary['win_rate']:.1%}", f"95 % interval {low:.1%} to {high:.1%}"]]
    if "reward_model_accuracy" in summary:
        bound = summary["reward_model_ceiling"]
        note = f"on held-out labels; {bound:.1%} is the most that annotators with this error rate allow"
        rows.append(["reward model accuracy", f"{summary['reward_model_accuracy']:.1%}", note])
    return [
        *rows,
        [
            "true score",
            f"{summary['true_score_before']:.2f} → {summary['true_score_after']:.2f}",
            "SFT → after " + config.algorithm,
        ],
        ["drift", f"{summary['kl']:.2f} nats", "KL from SFT, a response"],
        ["length", f"{summary['length_before']:.1f} → {summary['length_after']:.1f} tokens", ""],
        [
            "unfinished",
            f"{summary['unfinished_before']:.1%} → {summary['unfinished_after']:.1%}",
            "cut by the length limit",
        ],
    ]


def _run(config: Config, folder: Path) -> RunSettings:
    return RunSettings(str(folder), config.run.seed, config.run.fresh)


def _pretrain(config: Config, folder: Path, data: Path) -> pretrain.Config:
    return pretrain.Config(
        data=(str(data / "texts.jsonl"),),
        run=_run(config, folder / "pretrain"),
        vocabulary=768,
        width=128,
        layers=4,
        heads=4,
        context=128,
        passes=PassSettings(4.0, batch_size=16),
        learning=Learning(lr=4e-3, schedule="cosine", warmup=0.05, weight_decay=0.1, adam_eps=1e-8),
    )


def _sft(config: Config, folder: Path, data: Path) -> supervised.Config:
    return supervised.Config(
        model=str(folder / "pretrain"),
        inputs=DataSettings((str(data / "demonstrations.jsonl"),)),
        run=_run(config, folder / "sft"),
        passes=PassSettings(1.0, batch_size=16),
        max_tokens=128,
        learning=Learning(lr=1e-3, schedule="cosine", warmup=0.03),
    )


def _sample(config: Config, folder: Path, data: Path) -> sample.Config:
    return sample.Config(
        model=str(folder / "sft"),
        inputs=DataSettings((str(data / "prompts.jsonl"),)),
        run=_run(config, folder / "sample"),
        answers=4,
        sampling=SAMPLING,
    )


def _reward(config: Config, folder: Path, data: Path) -> reward_model.Config:
    return reward_model.Config(
        model=str(folder / "sft"),
        inputs=DataSettings((str(data / "rankings.jsonl"),)),
        run=_run(config, folder / "reward"),
        passes=PassSettings(4.0, batch_size=16),
        error_rate=2 * config.error_rate,  # a pair at random is wrong half the time
        language_weight=0.3,  # it goes on learning to say the better answer, and so does not forget facts
        max_tokens=128,
        held_out=0.15,
        learning=Learning(lr=1.4e-3, schedule="cosine", warmup=0.05, weight_decay=0.1),
    )


def _policy(config: Config, folder: Path, data: Path) -> policy.Config:
    return policy.Config(
        model=str(folder / "sft"),
        inputs=DataSettings((str(data / "prompts.jsonl"),)),
        reward=(str(folder / "reward"),),
        run=_run(config, folder / "rl"),
        algorithm=config.algorithm,
        iterations=max(1, round(config.iterations * config.scale)),
        sampling=SAMPLING,
        scores=ScoreSettings(missing_end_penalty=1.0),
        learning=Learning(lr=2e-4, schedule="linear"),
        override={"kl_in_reward": 0.2},  # a short leash: the reward model is easily fooled about facts
    )


def _scaled(count: int, config: Config) -> int:
    return max(40, round(count * config.scale))


def _summary(folder: Path) -> dict[str, Any]:
    import json

    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


class _Steps:
    """Says which stage begins, numbered, on stderr."""

    def __init__(self, folder: Path) -> None:
        self.number = 0
        print(f"the whole pipeline, in {folder}", file=sys.stderr)

    def __call__(self, what: str) -> None:
        self.number += 1
        print(f"{self.number} of 7  {what}", file=sys.stderr, flush=True)


def _show(summary: dict[str, Any], config: Config, page: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = Table(show_header=False, box=None)
    for row in table(summary, config):
        shown.add_row(*row)
    Console(markup=False).print(shown)
    print(f"\n{summary['minutes']:.1f} minutes. Report: {page}")
