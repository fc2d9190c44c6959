"""What every route needs: the store, the settings, who is asking, pages and refusals."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse

from truing.feedback.people import auth
from truing.feedback.people.auth import Person, Role
from truing.feedback.store.database import Database, InTurn
from truing.feedback.tasks.replies import Reply
from truing.feedback.web.safe_text import markdown, visible
from truing.maths.statistics import interval_text

HERE = Path(__file__).parent
COOKIE = "truing_session"
REMEMBERED_S = 5.0  # how long a session is taken for good: so long after it is ended elsewhere it may still work
DEEPEST = 20  # levels of a JSON body
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # half a character is no text; PostgreSQL keeps no U+0000


class Refused(Exception):
    """A request that is answered with an error: status, a word for programs, a line for people."""

    def __init__(self, status: int, code: str, said: str) -> None:
        super().__init__(said)
        self.status, self.code, self.said = status, code, said


@dataclass(frozen=True)
class Site:
    """One project of one store, as it is served."""

    db: Database
    project: str
    name: str = "default"
    lease_s: float = 600.0
    show_markdown: bool = False
    secure: bool = False
    """Cookies only over HTTPS."""
    replies: Mapping[str, Reply] = field(default_factory=dict)
    """Live models by the id of their version."""
    filling: Callable[[], float | None] = lambda: None
    """Seconds until more tasks are ready; None if none are being made."""
    leasing: InTurn = field(default_factory=InTurn)
    """One request for the next task at a time, …"""
    saying: InTurn = field(default_factory=InTurn)
    """… and one submission: a store has one writer, and threads that wait for it awake get into each other's way. So a
    judgement waits for one lease at most, however many people ask for their next task."""
    seen: dict[tuple[str, auth.Purpose], tuple[float, Person]] = field(default_factory=dict)
    """Who showed which secret in the last seconds."""


def site(request: Request) -> Site:
    """The site that a request came to."""
    return request.app.state.site


def person(request: Request) -> Person | None:
    """Who is asking, by session cookie, or by `Authorization: Bearer` (then cookies do not count)."""
    bearer = request.headers.get("authorization", "")
    if bearer.startswith("Bearer "):
        return _whose(site(request), bearer.removeprefix("Bearer "), "api")
    secret = request.cookies.get(COOKIE, "")
    return _whose(site(request), secret, "session") if secret else None


def forget(here: Site, secret: str) -> None:
    """A session that has ended is nobody's at once."""
    here.seen.pop((secret, "session"), None)


def _whose(here: Site, secret: str, purpose: auth.Purpose) -> Person | None:
    """By the store, or by what it said a moment ago: a page asks several times a second."""
    moment = time.monotonic()
    since, who = here.seen.get((secret, purpose), (float("-inf"), None))
    if moment - since < REMEMBERED_S:
        return who
    with here.db.reading() as connection:
        who = auth.whose(connection, secret, purpose)
    if len(here.seen) > 1000:
        here.seen.clear()
    if who is not None:
        here.seen[secret, purpose] = moment, who
    return who


def needs(request: Request, role: Role = "annotator") -> Person:
    """Who is asking; refused if nobody, or without the role."""
    found = person(request)
    if found is None:
        raise Refused(401, "sign-in", "sign in first")
    if not found.may(role):
        raise Refused(403, "role", f"this is for the role {role}")
    return found


async def body(request: Request) -> dict[str, Any]:
    """The JSON object that a request brings, with the CSRF token checked where a cookie vouches for the person."""
    raw = await request.body()
    depth = deepest = 0
    for byte in raw:
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    if deepest > DEEPEST:
        raise Refused(400, "depth", f"JSON nested deeper than {DEEPEST}")
    try:
        read = json.loads(raw or b"{}", parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "json", f"this is no JSON: {error}") from None
    if not isinstance(read, dict):
        raise Refused(400, "json", "the body must be a JSON object")
    if not _is_storable(read):
        raise Refused(400, "text", "a text holds half of a character, or one that no database keeps (U+0000)")
    return read


def _is_storable(value: object) -> bool:
    """Whether no text in a JSON value, or name of one, holds what a database refuses."""
    if isinstance(value, dict):
        return all(map(_is_storable, (*value, *value.values())))
    if isinstance(value, list):
        return all(map(_is_storable, value))
    return not (isinstance(value, str) and UNSTORABLE.search(value))


def check_csrf(request: Request, who: Person, sent: str | None = None) -> None:
    """Refuse a request that a cookie vouches for without the token of our own page."""
    if request.headers.get("authorization", "").startswith("Bearer "):
        return
    if (sent or request.headers.get("x-csrf-token", "")) != who.csrf:
        raise Refused(403, "csrf", "the page is out of date; load it again")


async def form(request: Request) -> dict[str, str]:
    """The fields of a plain HTML form."""
    return dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))


def page(request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page by its template, with what all pages show."""
    who = person(request)
    html = _templates().get_template(name).render(
        me=who, csrf=who.csrf if who else "", project=site(request).name, here=request.url.path, **values
    )  # fmt: skip
    return HTMLResponse(html, status)


def to(path: str) -> RedirectResponse:
    """Send the browser to another page of ours."""
    return RedirectResponse(path, 303)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _templates() -> Environment:
    found = Environment(loader=FileSystemLoader(HERE / "pages"), autoescape=True, undefined=StrictUndefined)
    found.filters |= {"visible": visible, "markdown": markdown, "interval": interval_text}
    return found
