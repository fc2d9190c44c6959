"""How people come in: the one-time setup link, invitations, name and password; and out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from truing.errors import UserError
from truing.feedback.people import auth
from truing.feedback.store.database import audit
from truing.feedback.web.security import Bucket
from truing.feedback.web.site import COOKIE, Refused, body, check_csrf, forget, form, needs, page, person, site, to

routes = APIRouter()
OWNER = "owner"
TRIES = Bucket(rate=0.1, burst=10)  # of passwords, by address: 6 a minute after the first ten


@routes.get("/login")
def login_page(request: Request) -> Response:
    """Where a name and a password let in."""
    return to("/") if person(request) else page(request, "login.html", title="Sign in", error="")


@routes.post("/login")
async def login(request: Request) -> Response:
    """Check name and password."""
    given = await form(request)
    if TRIES.wait_s(request.client.host if request.client else ""):
        return page(request, "login.html", 429, title="Sign in", error="Too many tries: wait a minute.")
    return await run_in_threadpool(_sign_in, request, given.get("name", ""), given.get("password", ""))


def _sign_in(request: Request, name: str, password: str) -> Response:
    with site(request).db.reading() as connection:
        found = auth.sign_in(connection, name, password[:1000])
    if found is None:
        said = "No such name with this password."
        return page(request, "login.html", 401, title="Sign in", error=said)
    return _let_in(request, found)


@routes.get("/setup/{secret}")
def setup_page(request: Request, secret: str) -> Response:
    """The link that the server prints when it starts: the one who has it is the owner."""
    with site(request).db.reading() as connection:
        if not auth.valid(connection, secret, "setup"):
            said = "This link has been used or is too old. The server prints a new one when it starts."
            return page(request, "login.html", 403, title="Sign in", error=said)
    return page(request, "begin.html", title="Begin", action=f"/setup/{secret}", role="owner", error="")


@routes.post("/setup/{secret}")
async def setup(request: Request, secret: str) -> Response:
    """Let the owner in; a name and a password are theirs to choose, or not."""
    given = await form(request)
    return await run_in_threadpool(_join, request, secret, "setup", given)


@routes.get("/invitation/{secret}")
def invitation_page(request: Request, secret: str) -> Response:
    """An invitation that somebody was sent."""
    with site(request).db.reading() as connection:
        if not auth.valid(connection, secret, "invitation"):
            said = "This invitation has been used or is too old: ask for a new one."
            return page(request, "login.html", 403, title="Sign in", error=said)
    return page(request, "begin.html", title="Join", action=f"/invitation/{secret}", role="", error="")


@routes.post("/invitation/{secret}")
async def invitation(request: Request, secret: str) -> Response:
    """Make the person that the invitation is for."""
    given = await form(request)
    return await run_in_threadpool(_join, request, secret, "invitation", given)


@routes.post("/logout")
async def logout(request: Request) -> Response:
    """End the session."""
    who = needs(request)
    check_csrf(request, who, (await form(request)).get("csrf", ""))
    with site(request).db.writing() as connection:
        auth.sign_out(connection, who.secret)
    forget(site(request), who.secret)
    answer = to("/login")
    answer.delete_cookie(COOKIE)
    return answer


@routes.post("/api/invitations")
async def invite(request: Request) -> dict[str, Any]:
    """A link for a new person with a role; only owners give them out."""
    who, asked = needs(request, "owner"), await body(request)
    check_csrf(request, who)
    role = asked.get("role", "annotator")
    if role not in auth.ROLES:
        raise Refused(400, "role", f"role must be one of {', '.join(auth.ROLES)}")
    with site(request).db.writing() as connection:
        secret = auth.issue(connection, "invitation", role=role)
        audit(connection, who.name, "invited", role)
    return {"link": f"{request.url.scheme}://{request.headers['host']}/invitation/{secret}", "role": role}


def _join(request: Request, secret: str, purpose: auth.Purpose, given: dict[str, str]) -> Response:
    """Redeem a link. Nothing of it is used up if the name or the password is refused."""
    name = given.get("name", "").strip() or (OWNER if purpose == "setup" else "")
    try:
        with site(request).db.writing() as connection:
            role = auth.redeem(connection, secret, purpose)
            if role is None:
                raise UserError("this link has been used or is too old")
            known = auth.person_named(connection, name) if purpose == "setup" else None
            who = known or auth.add_person(connection, name, role, given.get("password", ""))  # type: ignore[arg-type]
    except UserError as error:
        title, shown = ("Begin", "owner") if purpose == "setup" else ("Join", "")
        return page(request, "begin.html", 400, title=title, action=request.url.path, role=shown, error=str(error))
    return _let_in(request, who)


def _let_in(request: Request, who: str) -> Response:
    here = site(request)
    with here.db.writing() as connection:
        secret = auth.issue(connection, "session", who)
    answer = to("/")
    answer.set_cookie(
        COOKIE, secret, max_age=int(auth.LIVES_S["session"]), httponly=True, samesite="lax", secure=here.secure
    )
    return answer
