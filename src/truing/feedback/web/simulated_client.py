"""Simulated annotators at work: they come through the same HTTP door as people, one thread each."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from truing.data.records import Prompt
from truing.errors import UserError
from truing.feedback.people import auth
from truing.feedback.people.simulated import Annotator, Preference
from truing.feedback.store.database import Database
from truing.feedback.tasks import kinds
from truing.feedback.tasks.kinds.kind import Simulation

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


@dataclass(frozen=True)
class Worker:
    """A simulated person at the page of a server, with an API token."""

    address: str
    token: str
    annotator: Annotator
    preference: Preference
    seed: int = 0

    def work(
        self,
        labels: int | None = None,
        stop: threading.Event | None = None,
        timed: Callable[[float], None] | None = None,
    ) -> int:
        """Judge until nothing is left, `labels` are given, or `stop` is set. Returns how many were acknowledged.

        A lost connection is tried again with the same key, so that nothing is lost and nothing counts twice. `timed`
        gets the seconds of each submission.
        """
        rng, given = np.random.default_rng(self.seed), 0
        header = {"authorization": f"Bearer {self.token}"}
        with httpx.Client(base_url=self.address, headers=header, timeout=30) as client:
            while (labels is None or given < labels) and not (stop and stop.is_set()):
                answer = _asked(client, "/api/next", {"held": []}, stop)
                if answer is None or (answer["task"] is None and answer["wait_s"] is None):
                    break
                task = answer["task"]
                if task is None:
                    time.sleep(answer["wait_s"])
                    continue
                simulation = Simulation(task, self.annotator, self.preference, rng)
                payload = kinds.TABLE[task["kind"]].simulated(simulation)
                seconds = {"duration_ms": int(rng.gamma(4, 2500)), "active_ms": 0}
                body = {"key": uuid.uuid4().hex, "payload": payload, **seconds}
                begun = time.perf_counter()
                if _asked(client, f"/api/assignments/{task['assignment']}/submit", body, stop) is None:
                    break
                if timed:
                    timed(time.perf_counter() - begun)
                given += 1
        return given


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
    threads = []
    for number, person in enumerate(cast(count, seed)):
        with db.writing() as connection:
            known = auth.person_named(connection, person.name, "annotator")
            who = known or auth.add_person(connection, person.name, simulated=True)
            token = auth.issue(connection, "api", who)
        worker = Worker(address, token, person, preference, seed + number)
        threads.append(threading.Thread(target=lambda w=worker: given.append(w.work(stop=stop)), daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(given)
