"""What stands before every route: whose requests are let in, how large and how many, and what the browser is told."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
LARGEST_BODY = 1_000_000  # bytes
SAFE = ("GET", "HEAD", "OPTIONS")
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; script-src 'self'; style-src 'self'; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Bucket:
    """Requests allowed of each caller: `rate` a second on average, `burst` at once."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self._clock = rate, burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, caller: str) -> float:
        """0 if a request may pass now (and counts); else seconds until one may."""
        moment = self._clock()
        left, since = self._left.pop(caller, (self.burst, moment))
        left = min(self.burst, left + (moment - since) * self.rate)
        passes = left >= 1
        self._left[caller] = (left - 1 if passes else left, moment)
        while len(self._left) > 10_000:
            self._left.popitem(last=False)
        return 0.0 if passes else (1 - left) / self.rate


class Guard:
    """ASGI middleware: Host and Origin checked, bodies and rates bounded, headers set on every answer."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str] = (), bucket: Bucket | None = None) -> None:
        self.app, self.hosts, self.bucket = app, {*LOOPBACK, *hosts}, bucket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        answer = _with_headers(send, scope["path"].startswith("/static/"))
        if refusal is not None:
            await refusal(scope, receive, answer)
            return
        begun = False

        async def begin(message: Message) -> None:
            nonlocal begun
            begun = True
            await answer(message)

        try:
            await self.app(scope, _bounded(receive), begin)
        except asyncio.CancelledError:  # the server stops, and the rest of the request has not come
            if not begun:
                await refuse(503, "stopped", "the server has stopped")(scope, receive, answer)

    def _refusal(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        # A page of another site that points its name at this machine (DNS rebinding) comes with its own name as Host.
        if _name(headers.get("host", "")) not in self.hosts:
            return refuse(421, "host", "this server does not answer to that name; start it with --hosts to allow it")
        if scope["method"] not in SAFE and not self._from_here(headers):
            return refuse(403, "origin", "the request comes from another site")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            return refuse(413, "size", f"a request has at most {LARGEST_BODY:,} bytes")
        if self.bucket is not None and not scope["path"].startswith("/static/"):
            session = headers.get("cookie", "") or headers.get("authorization", "")
            wait_s = self.bucket.wait_s(session or (scope["client"] or ("",))[0])
            if wait_s:
                return refuse(429, "rate", "too many requests; wait a moment", {"retry-after": str(int(wait_s) + 1)})
        return None

    def _from_here(self, headers: Headers) -> bool:
        """Whether a request that changes things was made by a page of ours, or by no page at all (a program)."""
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = headers.get("origin")
        if origin is None:
            return "cookie" not in headers or "sec-fetch-site" in headers
        return urlsplit(origin).netloc == headers.get("host")


def refuse(status: int, code: str, said: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error as the page reads it."""
    return JSONResponse({"error": said, "code": code}, status, headers)


def _name(host: str) -> str:
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host


def _with_headers(send: Send, static: bool) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers["cache-control"] = "no-cache" if static else "no-store"
        await send(message)

    return answer


class TooLarge(Exception):
    """A body went on beyond its limit."""


def _bounded(receive: Receive) -> Receive:
    """A sender need not tell the length beforehand, nor truly."""
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > LARGEST_BODY:
            raise TooLarge
        return message

    return bounded
