"""What clients send and get, as the OpenAPI description tells it."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from llamaner.corpus import Entity
from llamaner.service.work import Finding

_Word = Annotated[str, Field(min_length=1)]
_Texts = str | list[str] | list[list[_Word]]

ONE: dict[str, Any] = {"text": "Amira Haddad flew from Oslo to Nairobi."}
MANY: dict[str, Any] = {
    "text": ["Amira Haddad flew from Oslo.", "She works for the Nordwind Institute."],
    "documents": ["letter", "letter"],
    "threshold": 0.5,
    "labels": ["PER", "LOC"],
}
REQUEST_EXAMPLES: dict[str, Any] = {
    "one": {"summary": "One text", "value": ONE},
    "many": {"summary": "Texts of one document, and only what is likely", "value": MANY},
    "words": {
        "summary": "A sentence given as words",
        "value": {"text": [["Amira", "Haddad", "flew", "from", "Oslo", "."]]},
    },
    "pipeline": {
        "summary": "Answered as a Transformers pipeline would",
        "value": {**ONE, "format": "pipeline"},
    },
}
_ENTITY: dict[str, Any] = {
    "start": 0,
    "end": 12,
    "label": "PER",
    "text": "Amira Haddad",
    "confidence": 0.97,
}


class TagRequest(BaseModel):
    """Texts, and what is wanted of them."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [ONE, MANY]})

    text: Annotated[
        _Texts,
        Field(
            description="A text, a list of texts, or a list of sentences given as words, whose "
            "offsets count in the words joined by one space."
        ),
    ]
    documents: Annotated[
        list[str] | None,
        Field(
            description="A name for each text: those of the same name are read as one document, "
            "in order. Without it each text is a document of its own."
        ),
    ] = None
    threshold: Annotated[
        float, Field(ge=0, le=1, description="Leave out entities of less confidence.")
    ] = 0.0
    labels: Annotated[
        list[str] | None, Field(min_length=1, description="Leave out entities of other labels.")
    ] = None
    words: Annotated[
        bool, Field(description="Tell where words and sentences lie, too (not in a pipeline's).")
    ] = False
    format: Annotated[
        Literal["entities", "pipeline"],
        Field(description="'pipeline' answers as Transformers' token-classification pipeline."),
    ] = "entities"

    @field_validator("text")
    @classmethod
    def _is_unicode(cls, text: _Texts) -> _Texts:
        try:
            json.dumps(text, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("half a surrogate pair is no character") from None
        return text

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.documents is not None and len(self.documents) != self.count:
            raise ValueError(f"{len(self.documents)} documents for {self.count} texts: one each")
        return self

    @property
    def count(self) -> int:
        """How many texts there are."""
        return 1 if isinstance(self.text, str) else len(self.text)


class FoundEntity(BaseModel):
    """An entity: offsets count Unicode code points, `end` is exclusive."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ENTITY]})

    start: int
    end: int
    label: str
    text: str
    confidence: Annotated[
        float, Field(description="The probability that exactly this entity stands there.")
    ]


class TaggedText(BaseModel):
    """What was found in one text."""

    entities: list[FoundEntity]
    words: list[tuple[int, int]] | None = None
    sentences: list[tuple[int, int]] | None = None


class TagResponse(BaseModel):
    """What was found, an item for each text, in order."""

    results: list[TaggedText]


class PipelineEntity(BaseModel):
    """An entity as Transformers' pipeline gives it."""

    entity_group: str
    score: float
    word: str
    start: int
    end: int


class StreamedText(TaggedText):
    """A line of a stream. The last one may be `{"error": …}` with a problem instead."""

    index: Annotated[int, Field(description="Which text this is, counted from 0.")]


class ModelLimits(BaseModel):
    """What a request may hold."""

    body_bytes: int
    texts: int
    characters: Annotated[int, Field(description="Of a document.")]
    request_seconds: float


class ModelDescription(BaseModel):
    """The tagger that answers, and what may be asked of it."""

    labels: list[str]
    language: str
    backbone: str
    version: Annotated[str, Field(description="Of LlamaNER.")]
    weights: Annotated[str, Field(description="SHA-256 of the tagger's weights.")]
    limits: ModelLimits


class Status(BaseModel):
    """How the service is."""

    status: str


def answer(request: TagRequest, findings: list[Finding]) -> Any:
    """The answer to a request, as JSON can hold it."""
    if request.format == "pipeline":
        lists = [_entities(request, finding) for finding in findings]
        return lists[0] if isinstance(request.text, str) else lists
    return {"results": [_tagged(request, finding) for finding in findings]}


def line(request: TagRequest, finding: Finding) -> dict[str, Any]:
    """A line of a stream, as JSON can hold it."""
    return {"index": finding.index, **_tagged(request, finding)}


def _tagged(request: TagRequest, finding: Finding) -> dict[str, Any]:
    tagged: dict[str, Any] = {"entities": _entities(request, finding)}
    if request.words and request.format == "entities":
        sentences = finding.document.sentences
        tagged["words"] = [(s.start + a, s.start + b) for s in sentences for a, b in s.spans]
        tagged["sentences"] = [(s.start, s.start + len(s.text)) for s in sentences]
    return tagged


def _entities(request: TagRequest, finding: Finding) -> list[dict[str, Any]]:
    shown = _pipeline if request.format == "pipeline" else _plain
    return [
        shown(entity)
        for entity in finding.entities
        if (entity.confidence or 0.0) >= request.threshold
        and (request.labels is None or entity.label in request.labels)
    ]


def _plain(entity: Entity) -> dict[str, Any]:
    return {
        "start": entity.start,
        "end": entity.end,
        "label": entity.label,
        "text": entity.text,
        "confidence": entity.confidence,
    }


def _pipeline(entity: Entity) -> dict[str, Any]:
    return {
        "entity_group": entity.label,
        "score": entity.confidence,
        "word": entity.text,
        "start": entity.start,
        "end": entity.end,
    }
