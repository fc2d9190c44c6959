"""Settings of every stage that reads data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from truing.settings import require

ChatFormat = Literal["auto", "template", "dialogue", "plain"]


@dataclass(frozen=True)
class DataSettings:
    """What a stage reads, and how."""

    data: tuple[str, ...]
    """Files, folders, runs or hub ids."""
    strict: bool = False
    """Stop at the first bad row in place of leaving it out."""
    chat_format: ChatFormat = "auto"
    """How messages become text: the tokenizer's chat template where it has one, Human/Assistant dialogue, or plain."""

    def __post_init__(self) -> None:
        require(self, ("data", all(self.data), "names that are not empty"))
