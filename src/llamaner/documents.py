"""Texts that come in to be tagged, and tagged documents that go out."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from llamaner.corpus import (
    Corpus,
    Document,
    read_conll,
    read_jsonl,
    segment,
    write_conll,
    write_jsonl,
)
from llamaner.corpus.textfile import decode_text, read_lines
from llamaner.reports import print_documents

_CONLL = {".conll", ".iob", ".iob2", ".bio", ".bioes", ".tsv"}
_JSONL = {".jsonl", ".ndjson"}


def read_texts(
    text: str | None, files: Sequence[str], *, lines: bool, language: str
) -> Iterator[Document]:
    """The texts of an argument, of files, or else of standard input, as documents to be tagged.

    With ``lines`` each line that is not blank is a document. Raises ``CorpusError`` for files
    that are missing or not UTF-8; all of them are looked at before the first is given.
    """
    for name in files:
        if not Path(name).is_file():
            read_lines(name)
    if text is not None:
        yield from _documents([text], lines=lines, language=language)
    elif files:
        for name in files:
            yield from _file_documents(name, lines=lines, language=language)
    else:
        yield from _standard_input(lines=lines, language=language)


def write_documents(
    documents: Iterable[Document], format: Literal["text", "jsonl", "conll"]
) -> None:
    """Print tagged documents on standard output, each as soon as it is there."""
    for document in documents:
        if format == "text":
            print_documents([document])
        elif format == "jsonl":
            write_jsonl(Corpus((document,)), sys.stdout)
        else:
            write_conll(Corpus((document,)), sys.stdout)
        sys.stdout.flush()


def _file_documents(name: str, *, lines: bool, language: str) -> Iterator[Document]:
    suffix = Path(name).suffix.lower()
    if suffix in _CONLL:
        yield from read_conll(name, tag_column=None).documents
    elif suffix in _JSONL:
        yield from read_jsonl(name, language=language).documents
    else:
        text = "\n".join(read_lines(name))
        yield from _documents([text], lines=lines, language=language, id=name)


def _standard_input(*, lines: bool, language: str) -> Iterator[Document]:
    stream = sys.stdin.buffer
    parts = stream if lines else [stream.read()]
    for number, data in enumerate(parts, 1):
        text = decode_text(data, f"standard input, line {number}" if lines else "standard input")
        yield from _documents([text], lines=lines, language=language)


def _documents(
    texts: Iterable[str], *, lines: bool, language: str, id: str = ""
) -> Iterator[Document]:
    for text in texts:
        for part in text.split("\n") if lines else [text]:
            part = part.removesuffix("\r")
            if part.strip() or not lines:
                yield Document(part, segment(part, language), id)
