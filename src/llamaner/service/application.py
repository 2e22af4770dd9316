"""The FastAPI application: its routes, and what they share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from logging import getLogger
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles

from llamaner import __version__
from llamaner.configuration import ServiceSettings
from llamaner.service.batching import Batcher, QueueFullError, Tag, TaggingError, Ticket
from llamaner.service.keys import ApiKeys
from llamaner.service.limits import OPEN, Admission, Guard
from llamaner.service.metrics import Metrics
from llamaner.service.problems import (
    ProblemDetails,
    ProblemError,
    busy,
    documented,
    install_problem_handlers,
    json_line,
)
from llamaner.service.schemas import (
    REQUEST_EXAMPLES,
    ModelDescription,
    ModelLimits,
    PipelineEntity,
    Status,
    StreamedText,
    TagRequest,
    TagResponse,
    answer,
    line,
)
from llamaner.service.work import Finding, Text, Work, works_of
from llamaner.tagger import NerTagger

PAGE = Path(__file__).parent / "page"
_NDJSON = "application/x-ndjson"

log = getLogger("llamaner.service")

TagBody = Annotated[TagRequest, Body(openapi_examples=REQUEST_EXAMPLES)]


class Service:
    """A tagger that is asked by many, and what is known of it."""

    def __init__(
        self,
        load: Callable[[], NerTagger],
        settings: ServiceSettings,
        on_failure: Callable[[], None],
    ) -> None:
        self._load = load
        self.settings = settings
        self.metrics = Metrics(lambda: self.batcher.claimed)
        self.batcher = Batcher(
            self._prepare,
            batch_subwords=settings.batch_subwords,
            queue_subwords=settings.queue_subwords,
            wait_seconds=settings.batch_wait_ms / 1000,
            observer=self.metrics,
            on_failure=on_failure,
        )
        self.model: ModelDescription | None = None
        self.draining = False

    def _prepare(self) -> Tag:
        tagger = self._load()
        # What is loaded when it is first needed is loaded now.
        tagger.tag("Amira Haddad flew from Oslo to Nairobi.")
        self.model = describe(tagger, self.settings)
        language = tagger.config.language

        def tag(works: Sequence[Work]) -> list[list[Finding]]:
            documents = tagger.tag_documents([work.document(language) for work in works])
            return [w.findings(d) for w, d in zip(works, documents, strict=True)]

        return tag

    def described(self) -> ModelDescription:
        """The tagger. Raises ``ProblemError`` while it is being loaded."""
        if self.model is None or not self.batcher.ready:
            raise busy("the tagger is being loaded", seconds=2)
        return self.model

    def submit(self, request: TagRequest) -> Ticket:
        """Queue a request. Raises ``ProblemError`` where it is too large or too much waits."""
        works = self._works(request)
        if self.settings.log_texts:
            log.info("texts: %s", json.dumps(request.text, ensure_ascii=False))
        try:
            return self.batcher.submit(works)
        except QueueFullError as full:
            raise busy(
                "too much is waiting; try again later", status=429, seconds=full.seconds
            ) from None

    def _works(self, request: TagRequest) -> list[Work]:
        known = self.described().labels
        if unknown := sorted(set(request.labels or ()) - set(known)):
            shown = ", ".join(known)
            raise ProblemError(422, f"{len(unknown)} of the labels are unknown; there are {shown}")
        if request.count > self.settings.max_texts:
            most = self.settings.max_texts
            raise ProblemError(413, f"{request.count:,} texts, and {most:,} are allowed at a time")
        texts: list[Text]
        if isinstance(request.text, str):
            texts = [request.text]
        else:
            texts = [text if isinstance(text, str) else tuple(text) for text in request.text]
        works = works_of(texts, request.documents)
        for work in works:
            if work.characters > self.settings.max_characters:
                raise ProblemError(
                    413,
                    f"text {work.indices[0]} (or the document that begins with it) has "
                    f"{work.characters:,} characters, and {self.settings.max_characters:,} are "
                    "allowed; divide it at a paragraph",
                )
        return works

    async def findings(self, request: TagRequest) -> list[Finding]:
        """What is found in the texts of a request, in their order."""
        ticket = self.submit(request)
        try:
            async with asyncio.timeout(self.settings.request_seconds):
                found = [finding async for findings in ticket for finding in findings]
        except TimeoutError:
            raise self._late() from None
        except TaggingError:
            raise _failed() from None
        finally:
            ticket.close()
        self.metrics.findings(found)
        return sorted(found, key=lambda finding: finding.index)

    async def stream(self, request: TagRequest, ticket: Ticket) -> AsyncIterator[bytes]:
        """The lines of a stream; the last may be an error."""
        arriving = aiter(ticket)
        try:
            while True:
                async with asyncio.timeout(self.settings.request_seconds):
                    findings = await anext(arriving)
                self.metrics.findings(findings)
                for finding in findings:
                    yield json_line(line(request, finding))
        except StopAsyncIteration:
            pass
        except TimeoutError:
            yield _error_line(self._late())
        except TaggingError:
            yield _error_line(_failed())
        finally:
            ticket.close()

    def _late(self) -> ProblemError:
        seconds = self.settings.request_seconds
        return busy(f"not done within {seconds:g} seconds; send less at a time", seconds=10)


def create_app(
    load: Callable[[], NerTagger],
    settings: ServiceSettings | None = None,
    keys: ApiKeys | None = None,
    *,
    on_failure: Callable[[], None] = lambda: None,
) -> FastAPI:
    """The service as an ASGI application; its ``state.service`` is the ``Service``.

    ``load`` gives the tagger; it is called in the thread that will own it, after the start.
    ``on_failure`` is called there if that fails, and the error is in ``service.batcher.failure``.
    """
    settings, keys = settings or ServiceSettings(), keys or ApiKeys()
    service = Service(load, settings, on_failure)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        yield
        await service.batcher.stop()

    app = FastAPI(
        title="LlamaNER",
        version=__version__,
        summary="Named-entity recognition with a BiLSTM-CRF on LLaMA embeddings",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    install_problem_handlers(app)
    _add_tagging(app, service)
    _add_state(app, service)
    _add_page(app)
    _describe_problems(app, bool(keys))
    app.add_middleware(
        Admission,
        keys=keys,
        max_bytes=settings.max_body_bytes,
        receive_seconds=settings.receive_seconds,
    )
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After"],
        )
    app.add_middleware(
        Guard,
        draining=lambda: service.draining,
        told=service.metrics.request,
        shared=bool(settings.cors_origins),
    )
    return app


def describe(tagger: NerTagger, settings: ServiceSettings) -> ModelDescription:
    """A tagger and the limits, without the folders of this machine."""
    config = tagger.config
    return ModelDescription(
        labels=list(tagger.labels),
        language=config.language,
        backbone=Path(config.backbone.model).name,
        version=__version__,
        weights=config.weights,
        limits=ModelLimits(
            body_bytes=settings.max_body_bytes,
            texts=settings.max_texts,
            characters=settings.max_characters,
            request_seconds=settings.request_seconds,
        ),
    )


def _add_tagging(app: FastAPI, service: Service) -> None:
    problems = documented(400, 401, 408, 413, 415, 422, 429, 503)

    @app.post(
        "/v1/tag",
        summary="Find the entities of a text or of several",
        response_model=TagResponse | list[PipelineEntity] | list[list[PipelineEntity]],
        responses=problems,
    )
    async def tag(request: Request, body: TagBody) -> Response:
        found = await _unless_gone(request, service.findings(body))
        if found is None:
            return Response(status_code=499)
        return Response(
            json.dumps(answer(body, found), ensure_ascii=False, separators=(",", ":")),
            media_type="application/json",
        )

    @app.post(
        "/v1/tag/stream",
        summary="Find the entities of many texts, a line of JSON for each as soon as it is there",
        response_class=StreamingResponse,
        responses={
            200: {
                "description": "Lines of JSON",
                "content": {
                    _NDJSON: {"schema": {"$ref": "#/components/schemas/StreamedText"}},
                },
            },
            **problems,
        },
    )
    async def stream(body: TagBody) -> StreamingResponse:
        lines = service.stream(body, service.submit(body))
        return StreamingResponse(lines, media_type=_NDJSON)


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get(
        "/v1/model",
        summary="The tagger, and what may be asked of it",
        response_model=ModelDescription,
        responses=documented(401, 503),
    )
    async def model() -> ModelDescription:
        return service.described()

    @app.get("/healthz", summary="Whether the process lives", response_model=Status)
    async def healthz() -> Status:
        return Status(status="ok")

    @app.get(
        "/readyz",
        summary="Whether requests are answered",
        response_model=Status,
        responses=documented(503),
    )
    async def readyz() -> Status:
        if service.draining:
            raise busy("the service is stopping")
        service.described()
        return Status(status="ready")

    @app.get(
        "/metrics",
        summary="Metrics for Prometheus",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            **documented(401),
        },
    )
    async def metrics() -> Response:
        # Set as a header: Response would add a second charset.
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=PAGE), name="page")


def _describe_problems(app: FastAPI, needs_key: bool) -> None:
    """Have the OpenAPI description tell of problems, not of FastAPI's own errors, and of keys."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title, version=app.version, summary=app.summary, routes=app.routes
            )
            schemas = schema["components"]["schemas"]
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            for kind in (ProblemDetails, StreamedText):
                made = kind.model_json_schema(ref_template="#/components/schemas/{model}")
                schemas.update(made.pop("$defs", {}))
                schemas[kind.__name__] = made
            if needs_key:
                schema["components"]["securitySchemes"] = {
                    "key": {"type": "http", "scheme": "bearer"}
                }
                for path in schema["paths"].keys() - OPEN:
                    for operation in schema["paths"][path].values():
                        operation["security"] = [{"key": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


async def _unless_gone(
    request: Request, work: Coroutine[Any, Any, list[Finding]]
) -> list[Finding] | None:
    """The findings; nothing where the client goes away meanwhile, and the work is given up."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _failed() -> ProblemError:
    return ProblemError(500, "a text could not be tagged; the service's log has more")


def _error_line(problem: ProblemError) -> bytes:
    return json_line({"error": problem.details.model_dump(exclude_none=True)})
