"""The nouns that flow through the house: prompts, responses and people's judgements of them. No torch here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class Prompt:
    """What a model is asked: the messages up to its turn. `root` groups prompts that must share a split."""

    messages: tuple[Message, ...]
    id: str = ""
    root: str = ""
    split: str = ""
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        identity = self.id or text_hash("\x1e".join(f"{m.role}\x1f{m.content}" for m in self.messages))
        object.__setattr__(self, "id", identity)
        if not self.root:
            first = next((m.content for m in self.messages if m.role == "user"), identity)
            object.__setattr__(self, "root", text_hash(first))

    @property
    def text(self) -> str:
        """The last message's content, for display."""
        return self.messages[-1].content if self.messages else ""


@dataclass(frozen=True)
class Response:
    """An answer to a prompt, by a model or a person; token ids and log-probs are those of sampling, if sampled."""

    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    finish_reason: Literal["stop", "length", ""] = ""
    author: str = ""
    seed: int | None = None
    sampling: tuple[tuple[str, float], ...] = ()
    score: float | None = None
    id: str = ""


@dataclass(frozen=True)
class Demonstration:
    """An answer to learn from as it is. In a whole `conversation` the earlier answers, in the prompt, are too."""

    prompt: Prompt
    response: str
    annotator: str = ""
    conversation: bool = False
    time: float = 0.0


@dataclass(frozen=True)
class Comparison:
    """One judgement of two answers. `target` is the probability that `chosen` is the better one (0.5: a tie).

    `error` is the share of this person's judgements that are made at random, `round` the turn of the loop, `time` when
    it was given, in seconds since 1970; 0: unknown. So it is with the other judgements.
    """

    prompt: Prompt
    chosen: str
    rejected: str
    target: float = 1.0
    margin: float = 0.0
    weight: float = 1.0
    criterion: str = ""
    annotator: str = ""
    origin: str = "pair"
    error: float = 0.0
    round: int = 0
    time: float = 0.0


@dataclass(frozen=True)
class Ranking:
    """Answers in order of preference. `tiers[i]` is the rank of `responses[i]`: 0 is best, equal means tied."""

    prompt: Prompt
    responses: tuple[str, ...]
    tiers: tuple[int, ...]
    criterion: str = ""
    annotator: str = ""
    origin: str = "ranking"
    error: float = 0.0
    round: int = 0
    time: float = 0.0


@dataclass(frozen=True)
class Rating:
    """One answer judged on its own, on the scale `low` to `high`; good / bad is the scale 0 to 1."""

    prompt: Prompt
    response: str
    value: float
    low: float = 1.0
    high: float = 5.0
    criterion: str = ""
    annotator: str = ""
    error: float = 0.0
    round: int = 0
    time: float = 0.0


@dataclass(frozen=True)
class Flag:
    """A mark on one answer (spam, private data, …), without a scale."""

    prompt: Prompt
    response: str
    name: str
    annotator: str = ""
    time: float = 0.0


@dataclass(frozen=True)
class Edit:
    """A person's correction: `after` is a demonstration, and is preferred to `before`."""

    prompt: Prompt
    before: str
    after: str
    annotator: str = ""
    time: float = 0.0


@dataclass(frozen=True)
class Conversation:
    """A prompt with several sampled answers: what sampling writes and labelling reads."""

    prompt: Prompt
    responses: tuple[Response, ...] = field(default=())


Judgement = Comparison | Ranking | Rating | Flag | Edit
Record = Prompt | Demonstration | Judgement | Conversation


def text_hash(text: str) -> str:
    """A short, stable identity of a text: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def split_of(root: str, held_out: float, seed: int = 0) -> Literal["train", "test"]:
    """The split of a root prompt: by hash, so that it never changes as data is added. `held_out` is a share, 0 to 1."""
    place = int(hashlib.sha256(f"{seed}:{root}".encode()).hexdigest()[:8], 16) / 16**8
    return "test" if place < held_out else "train"
