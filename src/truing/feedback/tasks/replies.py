"""Where live answers come from: a function that is handed in, or a server that speaks OpenAI's protocol."""

from __future__ import annotations

import ipaddress
import json
import random
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import httpx

from truing.errors import UserError

RETRIED = (408, 425, 429, 500, 502, 503, 504)
REFUSED = (400, 413, 422)  # it is what was asked that the server does not take
TRIES = 4
LONGEST = 200_000  # characters of one answer


class Reply(Protocol):
    """A live model: the text of its answer to a conversation, piece by piece."""

    def __call__(self, messages: Sequence[Mapping[str, str]], seed: int) -> Iterator[str]:
        """Pieces of the answer, which depends on the messages (role and content of each) and the seed only."""
        ...


class Unreachable(UserError):
    """The server gave no answer, however often it was asked."""


class Misconfigured(UserError):
    """The server is there and answers nobody: its address, a key or its setting has to be mended."""


@dataclass(frozen=True)
class Remote:
    """A chat model behind `address` (…/v1), as vLLM, SGLang, llama.cpp and OpenAI serve it."""

    address: str
    model: str
    key: str = ""
    temperature: float = 1.0
    max_new_tokens: int = 256
    allow_private: bool = False
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        refuse_private(self.address, self.allow_private)

    def __call__(self, messages: Sequence[Mapping[str, str]], seed: int) -> Iterator[str]:
        """The answer, streamed. Lost connections and busy servers are tried again, as long as nothing has been told."""
        for attempt in range(TRIES):
            told = 0
            try:
                for piece in self._stream(messages, seed):
                    told += len(piece)
                    yield piece
                    if told > LONGEST:
                        return
                return
            except (httpx.TransportError, Unreachable) as error:
                if told or attempt + 1 == TRIES:
                    raise Unreachable(f"{self.address}: {error}") from error
                time.sleep(random.uniform(0, 0.5 * 2**attempt))

    def _stream(self, messages: Sequence[Mapping[str, str]], seed: int) -> Iterator[str]:
        asked = {
            "model": self.model, "messages": [dict(m) for m in messages], "seed": seed, "stream": True,
            "temperature": self.temperature, "max_tokens": self.max_new_tokens,
        }  # fmt: skip
        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        refuse_private(self.address, self.allow_private)  # a name may lead elsewhere by now
        url = f"{self.address.rstrip('/')}/chat/completions"
        # No redirects: they could lead to where the address itself may not.
        with httpx.stream("POST", url, json=asked, headers=headers, timeout=self.timeout_s) as answer:
            if answer.status_code in RETRIED:
                raise Unreachable(f"status {answer.status_code}")
            if answer.status_code != 200:
                said = answer.read()[:200].decode("utf-8", "replace")
                kind = UserError if answer.status_code in REFUSED else Misconfigured
                raise kind(f"{url}: status {answer.status_code}: {said}")
            for line in answer.iter_lines():
                if line.startswith("data: ") and line != "data: [DONE]":
                    yield from _piece(line.removeprefix("data: "), url)


def refuse_private(address: str, allow_private: bool) -> None:
    """Raise UserError for an address that is none of the public web, unless that is allowed."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{address}: an address begins with http:// or https://")
    if allow_private:
        return
    try:
        found = {info[4][0] for info in socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise Unreachable(f"{address}: its name leads nowhere: {error}") from None
    for ip in found:
        if not ipaddress.ip_address(str(ip).partition("%")[0]).is_global:
            raise Misconfigured(f"{address} is {ip}, on this machine or its network; --allow-private allows it")


def _piece(line: str, url: str) -> Iterator[str]:
    try:
        text = json.loads(line)["choices"][0].get("delta", {}).get("content")
    except (ValueError, LookupError, TypeError, AttributeError):
        raise Misconfigured(f"{url}: this is no answer of a chat model: {line[:80]}") from None
    if isinstance(text, str) and text:
        yield text
