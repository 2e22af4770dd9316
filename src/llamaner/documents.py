"""Texts that come in to be tagged, and tagged documents that go out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
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
from llamaner.corpus.reading import format_by_name
from llamaner.corpus.textfile import decode_text, missing_file, read_bytes
from llamaner.errors import ConfigurationError
from llamaner.reports import print_documents


def read_texts(
    text: str | None, files: Sequence[str], *, lines: bool, language: str
) -> Iterator[Document]:
    """The texts of an argument, of files, or else of standard input, as documents to be tagged.

    With ``lines`` each line that is not blank is a document. A missing file is told before any
    is read. Raises ``CorpusError`` for what cannot be read, and ``ConfigurationError`` for an
    argument that is not UTF-8.
    """
    for name in files:
        if not Path(name).exists():
            raise missing_file(Path(name))
    if text is not None:
        return _documents([_checked(text)], lines=lines, language=language)
    if files:
        parts = (_file_documents(name, lines=lines, language=language) for name in files)
        return chain.from_iterable(parts)
    return _standard_input(lines=lines, language=language)


def read_arguments(arguments: Sequence[str], *, language: str) -> Iterator[Document]:
    """The documents of some arguments, each a file's name or else a text.

    What names no file and has no white space is a file that is missing. Raises what
    ``read_texts`` raises.
    """
    return chain.from_iterable(
        [
            read_texts(argument, (), lines=False, language=language)
            if _is_text(argument)
            else read_texts(None, (argument,), lines=False, language=language)
            for argument in arguments
        ]
    )


def write_documents(
    documents: Iterable[Document], format: Literal["text", "jsonl", "conll"]
) -> None:
    """Print tagged documents on standard output, each as soon as it is there."""
    if format == "text":
        print_documents(documents)
        return
    for number, document in enumerate(documents):
        if format == "jsonl":
            write_jsonl(Corpus((document,)), sys.stdout)
        else:
            _write_conll(document, first=number == 0)
        sys.stdout.flush()


def _write_conll(document: Document, *, first: bool) -> None:
    """A lone document needs no line that starts it; where others follow, each has one."""
    if not first and "docstart" not in document.metadata:
        sys.stdout.write("-DOCSTART- O\n\n")
    write_conll(Corpus((document,)), sys.stdout)


def _is_text(argument: str) -> bool:
    # Not by pathlib, which raises for a text that is too long to be a name.
    return argument.split() != [argument] and not os.path.exists(argument)


def _checked(text: str) -> str:
    """An argument in another encoding reaches Python as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(
            "the text is not UTF-8; put it in a file, and convert it"
        ) from None
    return text


def _file_documents(name: str, *, lines: bool, language: str) -> Iterator[Document]:
    by_name = format_by_name(Path(name))
    if by_name == "conll":
        yield from read_conll(name, tag_column=None).documents
    elif by_name == "jsonl":
        yield from read_jsonl(name, language=language).documents
    else:
        text = decode_text(read_bytes(name), name)
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
            kept = part.removesuffix("\r") if lines else part
            if kept.strip() or not lines:
                yield Document(kept, segment(kept, language), id)
