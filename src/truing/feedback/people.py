"""Simulated annotators at work: they come through the same HTTP door as people, one thread each."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import numpy as np

from truing.data.records import Message, Prompt
from truing.errors import UserError
from truing.feedback import auth
from truing.feedback.database import Database
from truing.feedback.simulate import Annotator, Preference, rank

Payload = dict[str, Any]


def plain_worth(prompt: Prompt, response: str) -> float:
    """A hidden preference for any text, where none is given: some length, few repetitions, a complete end."""
    words = response.split()
    if not words:
        return -1.0
    variety = len(set(words)) / len(words)
    return variety * min(len(words), 60) / 20 + (1.0 if response.rstrip()[-1] in ".!?" else 0.0)


def cast(count: int, seed: int = 0) -> list[Annotator]:
    """Different people: careful and careless ones, one that likes what is shown first, one that is lazy at times."""
    rng = random.Random(seed)
    people = []
    for i in range(count):
        error = round(rng.uniform(0.03, 0.2), 2)
        bias, lazy = (0.6 if i % 5 == 3 else 0.0), (0.1 if i % 5 == 4 else 0.0)
        people.append(Annotator(f"simulated-{i + 1}", error, 0.1, 0.05, bias, lazy))
    return people


def work(
    address: str, token: str, annotator: Annotator, preference: Preference, seed: int = 0, labels: int | None = None,
    stop: threading.Event | None = None, pause_s: float = 0.0, timed: Callable[[float], None] | None = None,
) -> int:  # fmt: skip
    """Judge until nothing is left, `labels` are given, or `stop` is set. Returns how many were acknowledged.

    A lost connection is tried again with the same key, so that nothing is lost and nothing counts twice. `timed` gets
    the seconds of each submission.
    """
    rng = np.random.default_rng(seed)
    given = 0
    with httpx.Client(base_url=address, headers={"authorization": f"Bearer {token}"}, timeout=30) as client:
        while (labels is None or given < labels) and not (stop and stop.is_set()):
            answer = _asked(client, "/api/next", {"held": []}, stop)
            if answer is None:
                break
            if answer["task"] is None:
                if answer["wait_s"] is None:
                    break
                time.sleep(answer["wait_s"])
                continue
            body = {"key": uuid.uuid4().hex, "payload": judged(answer["task"], annotator, preference, rng),
                    "duration_ms": int(rng.gamma(4, 2500)), "active_ms": 0}  # fmt: skip
            begun = time.perf_counter()
            if _asked(client, f"/api/assignments/{answer['task']['assignment']}/submit", body, stop) is None:
                break
            if timed:
                timed(time.perf_counter() - begun)
            given += 1
            time.sleep(pause_s)
    return given


def judged(task: Mapping[str, Any], annotator: Annotator, preference: Preference, rng: np.random.Generator) -> Payload:
    """What this annotator says of a task."""
    prompt = Prompt(tuple(Message(m["role"], m["text"]) for m in task["messages"]))
    ids, texts = [a["id"] for a in task["answers"]], [a["text"] for a in task["answers"]]
    if task["kind"] == "review":
        return {"verdict": "agree" if rng.random() > annotator.error_rate else "disagree"}
    if task["kind"] == "demo":
        return {"text": "I would say so."}
    if task["kind"] == "chat":
        return {"ended": True}
    if task["kind"] == "edit":
        return {"message": ids[0], "text": f"{texts[0].rstrip()} (corrected)"}
    worth = [preference(prompt, text) for text in texts]
    if task["kind"] == "binary":
        wrong = rng.random(len(ids)) < annotator.error_rate
        return {"good": {i: bool((w > 0) != e) for i, w, e in zip(ids, worth, wrong, strict=True)}}
    if task["kind"] == "rate":
        low, high = task["scale"]["low"], task["scale"]["high"]
        noisy = [w + rng.normal() * max(annotator.temperature, annotator.error_rate) for w in worth]
        middle = (low + high) / 2
        return {"ratings": {i: int(min(high, max(low, round(middle + w)))) for i, w in zip(ids, noisy, strict=True)}}
    tiers = rank(annotator, prompt, texts, preference, rng).tiers
    if task["kind"] == "rank":
        return {"tiers": dict(zip(ids, tiers, strict=True)), "unranked": []}
    if tiers[0] == tiers[1]:
        return {"verdict": "tie", "winner": None, "strength": None}
    gap = abs(worth[0] - worth[1])
    return {"verdict": "better", "winner": ids[tiers.index(0)], "strength": 1 if gap < 0.5 else 2 if gap < 1.5 else 3}


def _asked(client: httpx.Client, path: str, body: Payload, stop: threading.Event | None) -> Payload | None:
    """The answer to a request, asked again while the server cannot be reached. None when told to stop meanwhile."""
    while True:
        try:
            answer = client.post(path, json=body)
        except httpx.TransportError:
            if stop and stop.wait(0.05):
                return None
            continue
        if answer.status_code in (429, 503):
            time.sleep(float(answer.headers.get("retry-after", 1)))
            continue
        if answer.status_code != 200:
            raise UserError(f"{path}: status {answer.status_code}: {answer.text[:200]}")
        return answer.json()


def work_all(address: str, db: Database, count: int, seed: int, preference: Preference, stop: threading.Event) -> int:
    """So many of them at once, until nothing is left or `stop` is set. Returns how many judgements they gave."""
    given: list[int] = []
    workers = []
    for number, person in enumerate(cast(count, seed)):
        with db.writing() as connection:
            known = auth.person_named(connection, person.name, "annotator")
            who = known or auth.add_person(connection, person.name, simulated=True)
            token = auth.issue(connection, "api", who)
        arguments = (address, token, person, preference, seed + number, None, stop)
        workers.append(threading.Thread(target=lambda a=arguments: given.append(work(*a)), daemon=True))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(given)
