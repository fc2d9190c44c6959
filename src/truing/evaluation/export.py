"""What leaves the house: a policy as a plain model folder, judgements in another tool's layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from truing.data import formats
from truing.data.convert import on_criterion
from truing.data.records import Comparison, Conversation, Demonstration, Edit, Flag, Prompt, Ranking, Rating
from truing.errors import UserError
from truing.models.loading import is_reward_model, load_policy, load_scorer, load_tokenizer, save

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
KINDS = {
    "demonstrations": (Demonstration,),
    "comparisons": (Comparison,),
    "judgements": (Comparison, Ranking, Rating, Flag, Edit),
    "prompts": (Prompt,),
    "conversations": (Conversation,),
}


@dataclass(frozen=True)
class Config:
    """Give exactly one of `model` and `data`."""

    out: str
    """The folder (for a model) or file (for data: .jsonl, .json, .parquet, or .gz of the first two) to write."""
    model: str = ""
    """A policy or reward model to write as a plain Hugging Face folder, LoRA merged."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the written weights."""
    data: tuple[str, ...] = ()
    """Records to write in another layout: files, folders, runs or hub ids."""
    kind: Literal["demonstrations", "comparisons", "judgements", "prompts", "conversations"] = "comparisons"
    """Which records to take from the data."""
    to: formats.FileLayout = "trl"
    """The layout: our own rows, TRL's columns, HH's two texts, OpenRLHF's columns, or Open-Assistant's trees."""
    criterion: str = ""
    """What rows of other tools judge by, such as helpful; empty: overall judgements."""
    strict: bool = False
    """Stop at the first bad row in place of leaving it out."""

    def __post_init__(self) -> None:
        if bool(self.model) == bool(self.data):
            raise UserError("export writes either a model or data: give exactly one of model and data")
        if self.criterion and self.to == "native":
            raise UserError(f"criterion = {self.criterion!r}: native rows name the criterion, and hold all of them")


def write(config: Config) -> str:
    """Write it. Returns one line that says what was written."""
    if config.model:
        if Path(config.out).exists():
            raise UserError(f"out = {config.out}: it exists already; choose another folder")
        role = load_scorer(config.model) if is_reward_model(config.model) else load_policy(config.model)
        save(role, load_tokenizer(config.model), config.out, DTYPES[config.dtype])
        return f"{config.model} written to {config.out} in {config.dtype}"
    if Path(config.out).resolve() in {Path(source).resolve() for source in config.data}:
        raise UserError(f"out = {config.out}: this is the data: choose another file")
    records = formats.read(config.data, KINDS[config.kind], config.strict, print)
    if config.to != "native":
        records = on_criterion(records, config.criterion, print)
    count = formats.write(records, config.out, config.to, print)
    return f"{count} rows written to {config.out}"


def show(config: Config) -> None:
    """Write it, and print what was written."""
    print(write(config))
