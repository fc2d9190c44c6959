"""A local policy that answers as it is asked: loaded when first needed, its text given piece by piece."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from truing.data.chat import Chat
from truing.data.records import Message
from truing.data.settings import ChatFormat
from truing.generation.engine import Engine
from truing.generation.sampling import Sampling
from truing.generation.speak import cut_at_stops, end_ids
from truing.models.loading import load_chat, load_policy, locate
from truing.models.roles import Policy


class LocalReply:
    """Answers to conversations by a policy in this process. Several may be asked for at once."""

    def __init__(self, model: str, sampling: Sampling, chat_format: ChatFormat = "auto") -> None:
        self.model, self.sampling, self.chat_format = model, sampling, chat_format
        self._lock = threading.Lock()
        self._loaded: tuple[Policy, Chat] | None = None

    def __call__(self, messages: Sequence[Mapping[str, str]], seed: int) -> Iterator[str]:
        """Pieces of the answer, which depends on the messages (role and content of each), the seed and the weights."""
        with self._lock:
            policy, chat = self._load()
            engine = Engine(policy, self.sampling, end_ids(policy, chat), chat.text, slots=1)
            told = [Message(m["role"], m["content"]) for m in messages]  # type: ignore[arg-type]
            flight = engine.add(chat.prompt_ids(told), seed)
        said = ""
        while not flight.finish_reason:
            with self._lock:  # one token at a time: answers asked for at once come side by side
                engine.step()
            text = cut_at_stops(chat.text(flight.token_ids), self.sampling.stop)
            # What may still change is not told yet: half a character, or the beginning of a stop string.
            whole = text if flight.finish_reason else text[: -self._held_back(text) or None]
            if len(whole) > len(said) and whole.startswith(said):
                yield whole[len(said) :]
                said = whole

    def _load(self) -> tuple[Policy, Chat]:
        if self._loaded is None:
            policy = load_policy(self.model)
            self._loaded = policy, load_chat(self.model, self.chat_format)
        return self._loaded

    def _held_back(self, text: str) -> int:
        half = len(text) - len(text.rstrip("\ufffd"))  # each byte of it is one, with some tokenizers
        begun = (n for stop in self.sampling.stop for n in range(1, len(stop)) if text.endswith(stop[:n]))
        return max(half, max(begun, default=0))


def checkpoint_hash(model: str) -> str:
    """SHA-256 over the weights of a model in a folder, which tells its versions apart; "" for a hub id."""
    folder = Path(locate(model))
    read = hashlib.sha256()
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    for file in files:
        with file.open("rb") as weights:
            while block := weights.read(1 << 20):
                read.update(block)
    return read.hexdigest() if files else ""
