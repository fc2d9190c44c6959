"""Live answers to conversations, piece by piece, by a generator in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence

from truing.data.chat import Chat
from truing.data.records import Message
from truing.generation.generator import StreamingGenerator
from truing.generation.sampling import Sampling


class LocalReply:
    """Answers to conversations. Several may be asked for at once."""

    def __init__(self, generator: StreamingGenerator, chat: Chat, sampling: Sampling) -> None:
        self.generator, self.chat, self.sampling = generator, chat, sampling
        self._lock = threading.Lock()

    def __call__(self, messages: Sequence[Mapping[str, str]], seed: int) -> Iterator[str]:
        """Pieces of the answer, which depends on the messages (role and content of each), the seed and the weights."""
        conversation = [Message(m["role"], m["content"]) for m in messages]  # type: ignore[arg-type]
        with self._lock:
            growing = self.generator.stream(self.chat.prompt_ids(conversation), self.sampling, seed)
        given = ""
        while True:
            with self._lock:  # one token at a time: answers asked for at once come side by side
                generation = next(growing, None)
            if generation is None:
                return
            text = self.sampling.cut(self.chat.text(generation.token_ids))
            # What may still change is not given yet: half a character, or the beginning of a stop string.
            whole = text if generation.finish_reason else text[: -self._held_back(text) or None]
            if len(whole) > len(given) and whole.startswith(given):
                yield whole[len(given) :]
                given = whole

    def _held_back(self, text: str) -> int:
        half = len(text) - len(text.rstrip("\ufffd"))  # each byte of it is one, with some tokenizers
        begun = (n for stop in self.sampling.stop for n in range(1, len(stop)) if text.endswith(stop[:n]))
        return max(half, max(begun, default=0))
