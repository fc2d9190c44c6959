"""Rewards from a server: POST {"prompts": [...], "responses": [...]}, answered by {"scores": [...]}."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import httpx

from truing.data.records import Prompt, Response
from truing.errors import UserError
from truing.rewards.function import Reward

TRY_AGAIN = {408, 429, 500, 502, 503, 504}
TRIES = 5


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


def _ask(address: str, question: dict[str, list[str]], timeout_s: float) -> object:
    trouble = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(random.uniform(0.5, 1.0) * min(0.25 * 2**attempt, 4.0))  # jitter: many clients, one server
        try:
            reply = httpx.post(address, json=question, timeout=timeout_s)
        except httpx.TransportError as error:
            trouble = f"{type(error).__name__}: {error}"
            continue
        if reply.status_code in TRY_AGAIN:
            trouble = f"status {reply.status_code}"
            continue
        if reply.status_code != 200:
            raise UserError(f"reward server {address}: status {reply.status_code}: {reply.text[:80]!r}")
        try:
            return reply.json()
        except ValueError as error:
            raise UserError(f"reward server {address}: not JSON: {reply.text[:80]!r}") from error
    raise UserError(f"reward server {address}: no answer after {TRIES} tries ({trouble})")
