"""Errors as clients get them: RFC 9457 problem details, in JSON, and never the client's own text.

The kind of a problem is its status; ``detail`` says what is wrong and what to do, ``errors`` which
fields of the request are wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


class FieldError(BaseModel):
    """A field of the request that is wrong."""

    pointer: str
    """Where it stands, as a JSON pointer (RFC 6901)."""
    detail: str


class ProblemDetails(BaseModel):
    """What every error is, as RFC 9457 has it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None


class ProblemError(Exception):
    """Raised to answer with an error."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[FieldError] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.details = ProblemDetails(
            title=HTTPStatus(status).phrase,
            status=status,
            detail=detail,
            errors=None if errors is None else list(errors),
        )
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.details.status

    def body(self) -> bytes:
        """The problem in JSON."""
        return self.details.model_dump_json(exclude_none=True).encode()

    @property
    def last_headers(self) -> dict[str, str]:
        """The headers of an answer after which the connection is closed."""
        return {
            "Content-Type": MEDIA_TYPE,
            "Content-Length": str(len(self.body())),
            "Connection": "close",
            **self.headers,
        }

    def response(self) -> Response:
        """The answer."""
        return Response(self.body(), self.status, self.headers, media_type=MEDIA_TYPE)


def busy(detail: str, *, status: int = 503, seconds: float = 1) -> ProblemError:
    """A problem that goes away by itself, in about so many seconds."""
    return ProblemError(status, detail, headers={"Retry-After": str(max(1, round(seconds)))})


def install_problem_handlers(app: FastAPI) -> None:
    """Have every error of the application answered as a problem."""

    async def on_problem(_: Request, error: Exception) -> Response:
        return cast("ProblemError", error).response()

    async def on_http_error(_: Request, error: Exception) -> Response:
        return _of_http_error(cast("HTTPException", error)).response()

    async def on_invalid(_: Request, error: Exception) -> Response:
        return _of_validation(cast("RequestValidationError", error)).response()

    app.add_exception_handler(ProblemError, on_problem)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems of a route, for its OpenAPI description."""
    schema = {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: schema}}
        for status in statuses
    }


def _of_http_error(error: HTTPException) -> ProblemError:
    details = {
        400: "the body is not JSON in UTF-8",
        404: "there is nothing here; see /openapi.json",
        405: "another method is needed here; see /openapi.json",
    }
    detail = details.get(error.status_code, HTTPStatus(error.status_code).phrase)
    return ProblemError(error.status_code, detail, headers=error.headers)


def _of_validation(error: RequestValidationError) -> ProblemError:
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return ProblemError(400, "the body is not JSON in UTF-8")
    # What was found is left out: it may be a text, or a number that JSON cannot hold.
    errors = [FieldError(pointer=_pointer(f["loc"]), detail=f["msg"]) for f in faults[:20]]
    return ProblemError(422, "the request is not as /openapi.json describes it", errors=errors)


def _pointer(location: Sequence[str | int]) -> str:
    parts = [str(part).replace("~", "~0").replace("/", "~1") for part in location[1:]]
    return "".join(f"/{part}" for part in parts)


def json_line(value: Mapping[str, Any]) -> bytes:
    """A value as one line of JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
