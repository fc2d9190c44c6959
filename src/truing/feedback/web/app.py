"""The web application, put together."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles

from truing.errors import UserError
from truing.feedback.tasks import leases
from truing.feedback.web import sign_in, team, work
from truing.feedback.web.security import Bucket, Guard, TooLarge, refuse
from truing.feedback.web.site import HERE, Refused, Site, to


def create_app(site: Site, hosts: Sequence[str] = (), requests_a_second: float = 50.0) -> Guard:
    """The page of one project, ready to be served. `hosts`: names, besides loopback, that it answers to."""
    app = FastAPI(title="Truing", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.site = site
    for routes in (sign_in.routes, work.routes, team.routes):
        app.include_router(routes)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(UserError, _user_error)
    app.add_exception_handler(TooLarge, _too_large)
    app.add_exception_handler(HTTPException, _http)
    bucket = Bucket(requests_a_second, 4 * requests_a_second) if requests_a_second else None
    return Guard(app, hosts, bucket)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    if error.status == 401 and not request.url.path.startswith("/api/"):
        return to("/login")
    return refuse(error.status, error.code, error.said)


def _user_error(request: Request, error: Exception) -> Response:
    status = 409 if isinstance(error, leases.Conflict) else 404 if isinstance(error, leases.Unknown) else 400
    return refuse(status, {409: "conflict", 404: "unknown"}.get(status, "refused"), str(error))


def _too_large(request: Request, error: Exception) -> Response:
    return refuse(413, "size", "the request is too large")


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail), "code": "http"}, error.status_code)
