"""Rewards from a server: POST {"prompts": [...], "responses": [...]}, answered by {"scores": [...]}."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence

import httpx

from truing.data.records import Prompt, Response
from truing.errors import UserError
from truing.rewards.function import Reward

TRY_AGAIN = {408, 429, 500, 502, 503, 504}
TRIES = 5
LARGEST_ANSWER = 50_000_000  # bytes


def http_reward(address: str, timeout_s: float = 60.0) -> Reward:
    """Scores by the server at `address`. A server that is away is asked again, one that answers nonsense is not."""

    def score(prompts: Sequence[Prompt], responses: Sequence[Response]) -> list[float]:
        question = {"prompts": [p.text for p in prompts], "responses": [r.text for r in responses]}
        answer = _ask(address, question, timeout_s)
        scores = answer.get("scores") if isinstance(answer, dict) else None
        if not isinstance(scores, list) or len(scores) != len(responses):
            raise UserError(f'reward server {address}: expected {{"scores": [{len(responses)} numbers]}}')
        return scores

    return score


def _bounded(address: str, question: dict[str, list[str]], timeout_s: float) -> tuple[int, bytes]:
    """Status and body of the answer, which is bounded in time as a whole and in size: a server may trickle for ever.

    Redirects are not followed, for they could lead to where the server may not, and nothing is unpacked: a few bytes
    could become gigabytes.
    """
    end, body = time.monotonic() + timeout_s, bytearray()
    plain = {"accept-encoding": "identity"}
    with httpx.stream(
        "POST", address, json=question, headers=plain, timeout=timeout_s, follow_redirects=False
    ) as reply:
        for piece in reply.iter_raw():
            body += piece
            if len(body) > LARGEST_ANSWER:
                raise UserError(f"reward server {address}: the answer has more than {LARGEST_ANSWER:,} bytes")
            if time.monotonic() > end:
                raise TimeoutError(f"the answer was not whole after {timeout_s:g} s")
        return reply.status_code, bytes(body)


def _ask(address: str, question: dict[str, list[str]], timeout_s: float) -> object:
    trouble = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(random.uniform(0.5, 1.0) * min(0.25 * 2**attempt, 4.0))  # jitter: many clients, one server
        try:
            status, body = _bounded(address, question, timeout_s)
        except (httpx.TransportError, TimeoutError) as error:
            trouble = f"{type(error).__name__}: {error}"
            continue
        if status in TRY_AGAIN:
            trouble = f"status {status}"
            continue
        shown = body[:80].decode("utf-8", "replace")
        if 300 <= status < 400:
            raise UserError(f"reward server {address}: status {status}: redirects are not followed; name the place")
        if status != 200:
            raise UserError(f"reward server {address}: status {status}: {shown!r}")
        try:
            return json.loads(body)
        except ValueError as error:
            raise UserError(f"reward server {address}: not JSON: {shown!r}") from error
    raise UserError(f"reward server {address}: no answer after {TRIES} tries ({trouble})")
