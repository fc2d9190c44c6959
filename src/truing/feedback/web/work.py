"""The routes of the work: the next task, what was said of it, skip, undo, chat."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, StreamingResponse

from truing.errors import UserError
from truing.feedback.people.auth import Person
from truing.feedback.store import projects
from truing.feedback.store.events import SKIP
from truing.feedback.tasks import gold, kinds, leases
from truing.feedback.tasks.kinds import chat
from truing.feedback.web import chat_turn, views
from truing.feedback.web.safe_text import markdown
from truing.feedback.web.site import Refused, body, check_csrf, needs, page, person, site, to

routes = APIRouter()
LONGEST_KEY = 80
GOLD_SHARE = 0.05


def worker(request: Request) -> Person:
    """Who works here; a request that changes things brings the page's CSRF token."""
    who = needs(request)
    if request.method == "POST":
        check_csrf(request, who)
    return who


@routes.get("/")
def work_page(request: Request) -> Any:
    """The page where people judge."""
    return page(request, "label.html", title="Label") if person(request) else to("/login")


@routes.get("/guidelines")
def guidelines(request: Request) -> HTMLResponse:
    """The guideline as a page."""
    needs(request)
    with site(request).db.reading() as connection:
        newest = projects.guideline(connection, site(request).project)
    return page(request, "guidelines.html", title="Guidelines", guideline=newest)


@routes.get("/api/me")
def me(request: Request) -> dict[str, Any]:
    """Who is signed in, the guideline, and how much there is to do."""
    who = worker(request)
    here = site(request)
    with here.db.reading() as connection:
        newest = projects.guideline(connection, here.project)
        return {
            "name": who.name,
            "role": who.role,
            "kinds": list(kinds.TABLE),
            "guideline": {"version": newest.version if newest else 0, "html": markdown(newest.text) if newest else ""},
            "onboarding": views.quiz(connection, here, who.id),
            "progress": views.progress(connection, here, who.id),
        }


@routes.post("/api/next")
def next_task(request: Request, asked: dict[str, Any] = Depends(body)) -> dict[str, Any]:
    """A lease of the next task, or how long until there may be one."""
    who = worker(request)
    here = site(request)
    held = asked.get("held", [])
    if not isinstance(held, list) or not all(isinstance(one, str) for one in held):
        raise Refused(400, "held", "held must be a list of assignments")
    with here.leasing:
        with here.db.writing(durable=False) as connection:
            identity = leases.lease(connection, here.project, who.id, held, here.lease_s, GOLD_SHARE)
        with here.db.reading() as connection:
            task = views.task(connection, here, identity) if identity else None
            progress = views.progress(connection, here, who.id)
    return {"task": task, "progress": progress, "wait_s": None if task else here.filling()}


@routes.post("/api/assignments/{identity}/submit")
def submit(request: Request, identity: str, said: dict[str, Any] = Depends(body)) -> dict[str, Any]:
    """What a person said; stored when this answers."""
    who = worker(request)
    here, payload = site(request), _payload(said)
    with here.saying, here.db.writing() as connection:
        annotation, extra = leases.submit(connection, identity, who.id, payload, _key(said), _spent(said))
        told = gold.explained(connection, identity, payload)
    return {"annotation": annotation, "extra": extra, "gold": told}


@routes.post("/api/assignments/{identity}/skip")
def skip(request: Request, identity: str, said: dict[str, Any] = Depends(body)) -> dict[str, Any]:
    """Somebody else shall have the task."""
    who = worker(request)
    here = site(request)
    with here.db.writing() as connection:
        event = leases.skip(connection, identity, who.id, str(said.get("reason", "")), _key(said))
    return {"annotation": event}


@routes.post("/api/assignments/{identity}/heartbeat")
def heartbeat(request: Request, identity: str) -> dict[str, Any]:
    """The page is still open."""
    who = worker(request)
    here = site(request)
    with here.db.writing(durable=False) as connection:
        held = leases.heartbeat(connection, identity, who.id, here.lease_s)
    return {"held": held, "lease_s": here.lease_s}


@routes.post("/api/undo")
def undo(request: Request, said: dict[str, Any] = Depends(body)) -> dict[str, Any]:
    """Take back the last thing this person did."""
    who = worker(request)
    here = site(request)
    with here.db.writing() as connection:
        event = leases.undo(connection, who.id, _key(said), here.lease_s)
        task = views.task(connection, here, event.assignment_id)
    what = {SKIP: "skip", chat.TURN: "turn"}.get(event.kind, "submit")
    payload = chat.choice(event.payload) if what != "skip" else None
    return {"task": task, "payload": payload, "what": what}


@routes.post("/api/assignments/{identity}/say")
def say(request: Request, identity: str, said: dict[str, Any] = Depends(body)) -> StreamingResponse:
    """A person's turn in a chat; two answers are streamed, a line of JSON a piece."""
    who = worker(request)
    here, text = site(request), said.get("text")
    if not isinstance(text, str) or not text.strip():
        raise Refused(400, "text", "say something")
    if not here.replies:
        raise Refused(409, "model", "there is no live model to talk with")
    ready = chat_turn.begin(here, identity, who.id, text)

    async def lines() -> AsyncIterator[str]:
        try:
            async for piece in chat_turn.answers(here, ready):
                yield json.dumps(piece, ensure_ascii=False) + "\n"
        except UserError as error:
            yield json.dumps({"error": str(error)}, ensure_ascii=False) + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@routes.post("/api/assignments/{identity}/choose")
def choose(request: Request, identity: str, said: dict[str, Any] = Depends(body)) -> dict[str, Any]:
    """The better of a turn's two answers; the conversation goes on from it."""
    who = worker(request)
    here, payload = site(request), _payload(said)
    with here.db.writing() as connection:
        annotation = chat_turn.choose(connection, identity, who.id, payload, _key(said), _spent(said))
        task = views.task(connection, here, identity)
    return {"annotation": annotation, "messages": task["messages"]}


def _payload(said: dict[str, Any]) -> dict[str, Any]:
    payload = said.get("payload")
    if not isinstance(payload, dict):
        raise Refused(400, "payload", "payload must be an object")
    return payload


def _key(said: dict[str, Any]) -> str:
    key = said.get("key")
    if not isinstance(key, str) or not 8 <= len(key) <= LONGEST_KEY:
        raise Refused(400, "key", f"key must be a text of 8 to {LONGEST_KEY} characters, new for each judgement")
    return key


def _spent(said: dict[str, Any]) -> leases.TimeSpent:
    return leases.TimeSpent(_ms(said, "duration_ms"), _ms(said, "active_ms"))


def _ms(said: dict[str, Any], name: str) -> int | None:
    value = said.get(name)
    return (
        max(0, min(int(value), 2**31 - 1)) if isinstance(value, int | float) and not isinstance(value, bool) else None
    )
