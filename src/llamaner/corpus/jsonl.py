"""JSON lines: one document a line, with its text and its entities as character ranges.

::

    {"id": "a1", "text": "Ada met Bo.", "entities": [{"start": 0, "end": 3, "label": "PER"}]}

Offsets count Unicode code points. ``words`` and ``sentences`` (lists of ``[start, end]``) may say
where these lie; without them the text is segmented, and then gold wins over the segmentation: a
word is split where an entity begins or ends inside it, and no sentence ends inside an entity.
An entity may repeat its ``text``, which must agree, and have a ``confidence``; it may also be
``[start, end, label]``, and the list may be called ``label``, as doccano writes it. ``columns``
and ``comments`` hold the further columns and comments of a CoNLL file, a list a sentence. Whatever
else stands on the line is kept in the document's ``metadata``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO

from llamaner.corpus.jsonl_fields import RecordError
from llamaner.corpus.jsonl_record import RESERVED, document_from_json
from llamaner.corpus.textfile import open_target, read_lines
from llamaner.corpus.types import Corpus, Document, Entity
from llamaner.errors import CorpusError, Problem


def read_jsonl(path: str | Path, *, language: str = "en") -> Corpus:
    """The corpus in a file of JSON lines; ``language`` is for texts without ``words``.

    Raises ``CorpusError`` with all lines at fault.
    """
    return Corpus(tuple(document for _, document in numbered_documents(path, language=language)))


def numbered_documents(path: str | Path, *, language: str) -> list[tuple[int, Document]]:
    """The documents of a file with their line numbers.

    Raises ``CorpusError`` as ``read_jsonl`` does.
    """
    problems: list[Problem] = []
    documents: list[tuple[int, Document]] = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            documents.append((number, document_from_json(line, language)))
        except RecordError as error:
            problems += [Problem(str(path), number, *fault) for fault in error.faults]
    if problems:
        raise CorpusError(problems)
    return documents


def write_jsonl(corpus: Corpus, target: str | Path | TextIO) -> None:
    """Write a corpus so that ``read_jsonl`` gives it back, but for its ``scheme``.

    Raises ``ValueError`` or ``TypeError`` when metadata takes the name of another field, or is
    not JSON.
    """
    lines = [json.dumps(_record(document), ensure_ascii=False) for document in corpus.documents]
    with open_target(target) as stream:
        stream.writelines(f"{line}\n" for line in lines)


def _record(document: Document) -> dict[str, Any]:
    if clash := RESERVED & document.metadata.keys():
        raise ValueError(f"metadata of document {document.id!r} may not be called {clash}")
    sentences = document.sentences
    record: dict[str, Any] = {"id": document.id} if document.id else {}
    record["text"] = document.text
    record["entities"] = [_entity(entity) for entity in document.entities]
    record["words"] = [
        (s.start + start, s.start + end) for s in sentences for start, end in s.spans
    ]
    record["sentences"] = [(s.start, s.start + len(s.text)) for s in sentences]
    if any(s.columns for s in sentences):
        record["columns"] = [s.columns for s in sentences]
    if any(s.comments for s in sentences):
        record["comments"] = [s.comments for s in sentences]
    return {**record, **document.metadata}


def _entity(entity: Entity) -> dict[str, Any]:
    fields = {"start": entity.start, "end": entity.end, "label": entity.label, "text": entity.text}
    return fields if entity.confidence is None else {**fields, "confidence": entity.confidence}
