"""A chat's turn: the person speaks, two live answers come, the better one is gone on from.

Generation is never inside a transaction: the person's words are stored, then the models speak, then their answers are.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from truing.data.records import Response
from truing.errors import UserError
from truing.feedback.store import content
from truing.feedback.store.content import Author, Selection
from truing.feedback.store.database import StoredRow
from truing.feedback.tasks import kinds, leases
from truing.feedback.web import views
from truing.feedback.web.site import Site


@dataclass(frozen=True)
class Turn:
    """What the models are to answer."""

    prompt: str
    spoken: str
    messages: tuple[Mapping[str, str], ...]


def begin(site: Site, identity: str, person: str, text: str) -> Turn:
    """Store the person's words below the answer chosen last."""
    with site.db.writing() as connection:
        row = leases.assignment(connection, identity, person)
        if not kinds.TABLE[row.kind].turns:
            raise UserError(f"a task of the kind {row.kind} is no chat")
        parent = views.last_turn(connection, identity)
        author = Author(person=person, role="user")
        spoken = content.add_message(connection, row.prompt_id, Response(text), parent, author)
        return Turn(row.prompt_id, spoken, tuple(content.conversation_to(connection, row.prompt_id, spoken)))


async def answers(site: Site, turn: Turn) -> AsyncIterator[dict[str, Any]]:
    """Pieces of both answers as they come, then both whole, stored. Two models speak if there are two.

    The models speak in threads of their own: the few that serve requests are not theirs to hold.
    """
    models = list(site.replies)
    pair = random.SystemRandom().sample(models, 2) if len(models) > 1 else models * 2
    seeds = [random.SystemRandom().randrange(2**31) for _ in pair]
    pieces: asyncio.Queue[tuple[int, str | Exception | None]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def pass_on(place: int, piece: str | Exception | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: the page has stopped, and nobody reads on
            loop.call_soon_threadsafe(pieces.put_nowait, (place, piece))

    def speak(place: int) -> None:
        try:
            for piece in site.replies[pair[place]](turn.messages, seeds[place]):
                pass_on(place, piece)
            pass_on(place, None)
        except Exception as error:  # told by the reader
            pass_on(place, error)

    for place in range(2):
        threading.Thread(target=speak, args=(place,), daemon=True).start()
    texts, speaking = ["", ""], 2
    while speaking:
        place, piece = await pieces.get()
        if isinstance(piece, Exception):
            raise piece if isinstance(piece, UserError) else UserError(f"the model failed: {piece}")
        if piece is None:
            speaking -= 1
            continue
        texts[place] += piece
        yield {"answer": place, "delta": piece}
    yield {"done": True, "answers": await run_in_threadpool(_keep, site, turn, texts, seeds, pair)}


def _keep(site: Site, turn: Turn, texts: list[str], seeds: list[int], models: list[str]) -> list[dict[str, Any]]:
    """Store both answers as candidates; returns them as the page shows them."""
    with site.db.writing() as connection:
        said = [
            content.add_message(connection, turn.prompt, Response(text, seed=seed), turn.spoken, Author(model))
            for text, seed, model in zip(texts, seeds, models, strict=True)
        ]
        content.add_candidates(connection, turn.prompt, said, turn.spoken, Selection("arena"))
        return views.answers(connection, site, said)


def choose(
    connection: Connection, identity: str, person: str, payload: Mapping[str, Any], key: str, spent: leases.TimeSpent
) -> str:
    """Store the choice; where none is better, the conversation goes on from the first."""
    row = leases.assignment(connection, identity, person)
    candidates = _open_turn(connection, row, person)
    shown = content.answers(connection, candidates)
    said = {**payload, "goes_on": payload.get("winner") or shown[0]}
    return leases.turn(connection, row, candidates, said, key, spent)


def _open_turn(connection: Connection, row: StoredRow, person: str) -> str:
    """The answers that this person is to choose between: those to what they said last in this conversation."""
    found = content.newest_candidates(connection, row.prompt_id, person)
    if found is None:
        raise leases.Conflict("there are no answers to choose from: say something first")
    return found
