"""What stands between a connection and the application: keys, limits, headers, and last resorts.

All of it is plain ASGI, so that a body is counted and timed while it comes in.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable
from logging import getLogger

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llamaner.service.keys import ApiKeys
from llamaner.service.problems import ProblemError

OPEN = frozenset({"/", "/healthz", "/readyz", "/openapi.json"})
"""Paths that need no key; whatever lies under /page/ needs none either."""

_LINGER_SECONDS = 2.0
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

log = getLogger("llamaner.service")


class Guard:
    """The outermost layer: security headers, and an answer whatever happens inside.

    While ``draining`` is true, each answer asks the client to close the connection.
    ``told`` is called with method, path, status and seconds of each request.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        draining: Callable[[], bool],
        told: Callable[[str, str, int, float], None],
        shared: bool,
    ) -> None:
        self._app = app
        self._draining = draining
        self._told = told
        self._headers = dict(_HEADERS)
        if shared:
            self._headers["Cross-Origin-Resource-Policy"] = "cross-origin"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        status, complete = 0, False

        async def watched(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(scope, message)
            complete = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except asyncio.CancelledError:
            # The server has given up waiting for this request.
            log.warning("a request was not answered in the time that there was to stop")
            if status:
                raise
            await _send(ProblemError(503, "the service was stopped before this was done"), watched)
        except Exception as error:
            # Without its message, which may hold a part of a text.
            place = "".join(traceback.format_tb(error.__traceback__))
            log.error("%s in %s\n%s", type(error).__name__, scope["path"], place)
            if not status:
                await _send(ProblemError(500, "a fault of the service; its log has more"), watched)
            elif not complete:
                raise RuntimeError("the answer broke off") from None
        finally:
            # 499: the client went away before there was an answer.
            self._told(scope["method"], scope["path"], status or 499, time.monotonic() - started)

    def _add_headers(self, scope: Scope, message: Message) -> None:
        headers = MutableHeaders(scope=message)
        for name, value in self._headers.items():
            headers.setdefault(name, value)
        # The page's files are asked for again each time, so that all are of one version.
        fresh = "no-store" if scope["path"].startswith("/v1/") else "no-cache"
        headers.setdefault("Cache-Control", fresh)
        if self._draining():
            headers["Connection"] = "close"


class Admission:
    """Lets in requests with a key and a body within the limits; others get their error at once.

    The key is looked at before the body is read. The body is counted and timed while it comes in,
    whatever its Content-Length says.
    """

    def __init__(
        self, app: ASGIApp, *, keys: ApiKeys, max_bytes: int, receive_seconds: float
    ) -> None:
        self._app = app
        self._keys = keys
        self._max_bytes = max_bytes
        self._seconds = receive_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._check_head(scope, headers)
            body = await self._read(receive)
        except ProblemError as problem:
            await _refuse(problem, headers, receive, send)
            return
        if body is not None:
            await self._app(scope, _replayed(body, receive), send)

    def _check_head(self, scope: Scope, headers: Headers) -> None:
        path = scope["path"]
        is_open = path in OPEN or path.startswith("/page/")
        if not is_open and not self._keys.admit(headers.get("authorization")):
            raise ProblemError(
                401,
                "an API key is needed: send the header `Authorization: Bearer KEY`",
                headers={"WWW-Authenticate": "Bearer"},
            )
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_bytes:
            raise self._too_large()
        if scope["method"] == "POST" and not _is_json(headers):
            raise ProblemError(415, "send JSON, with the header `Content-Type: application/json`")

    async def _read(self, receive: Receive) -> bytes | None:
        """The body, or nothing when the client went away."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > self._max_bytes:
                        raise self._too_large()
                    if not message.get("more_body"):
                        return bytes(body)
        except TimeoutError:
            raise ProblemError(
                408, f"the body did not come within {self._seconds:g} seconds"
            ) from None

    def _too_large(self) -> ProblemError:
        return ProblemError(
            413, f"the body may have {self._max_bytes:,} bytes; send less at a time"
        )


def _is_json(headers: Headers) -> bool:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" and "content-encoding" not in headers


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives the whole body, and then whatever else comes."""
    read = False

    async def replay() -> Message:
        nonlocal read
        if read:
            return await receive()
        read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _send(problem: ProblemError, send: Send) -> None:
    await send(_start(problem))
    await send({"type": "http.response.body", "body": problem.body()})


async def _refuse(problem: ProblemError, headers: Headers, receive: Receive, send: Send) -> None:
    """Answer without having read the body, and close the connection.

    The client may still be sending: were the connection closed on what it sends, it would be reset
    and the answer lost. So what comes is thrown away for a moment.
    """
    await send(_start(problem))
    await send({"type": "http.response.body", "body": problem.body(), "more_body": True})
    if problem.status != 408 and "expect" not in headers:
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while (await receive()).get("more_body"):
                    pass
        except TimeoutError:
            pass
    await send({"type": "http.response.body", "body": b""})


def _start(problem: ProblemError) -> Message:
    headers = [(k.lower().encode(), v.encode()) for k, v in problem.last_headers.items()]
    return {"type": "http.response.start", "status": problem.status, "headers": headers}
