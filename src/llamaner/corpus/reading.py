"""A corpus from wherever it lies: the format is found by the name, or else by the content."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple

from llamaner.corpus.conll import read_conll
from llamaner.corpus.hub import read_dataset
from llamaner.corpus.jsonl import read_jsonl
from llamaner.corpus.textfile import missing_file, read_bytes
from llamaner.corpus.types import Corpus
from llamaner.errors import CorpusError, Problem

Format = Literal["conll", "jsonl", "dataset"]

_BY_SUFFIX: dict[str, Format] = {
    **dict.fromkeys((".conll", ".iob", ".iob2", ".bio", ".bioes", ".tsv"), "conll"),
    **dict.fromkeys((".jsonl", ".json", ".ndjson"), "jsonl"),
    ".parquet": "dataset",
}
_HUB = re.compile(r"hf:(?P<name>[^@:]+)(?:@(?P<revision>[^:]+))?(?::(?P<split>[^:]+))?")


class Location(NamedTuple):
    """Where a corpus lies and how to read it; the last three are for data sets."""

    source: str
    format: Format
    split: str | None = None
    revision: str | None = None
    configuration: str | None = None


def read_corpus(
    source: str | Path,
    *,
    format: Format | None = None,
    word_column: int = 0,
    tag_column: int | None = -1,
    language: str = "en",
) -> Corpus:
    """The corpus in a file, a folder or a data set of the Hugging Face hub.

    A folder or a ``.parquet`` file is a data set; ``folder:split`` names its split, and
    ``hf:org/name[/configuration][@revision][:split]`` one of the hub. Other files are CoNLL
    columns (``word_column``, ``tag_column``) or JSON lines (``language``, for texts without
    words).
    Raises ``CorpusError`` when it cannot be read, with all faults, or has no sentences.
    """
    at = locate(source, format)
    if at.format == "conll":
        corpus = read_conll(at.source, word_column=word_column, tag_column=tag_column)
    elif at.format == "jsonl":
        corpus = read_jsonl(at.source, language=language)
    else:
        corpus = read_dataset(
            at.source, split=at.split, revision=at.revision, configuration=at.configuration
        )
    refuse_empty(corpus, str(source))
    return corpus


def corpus_name(source: str | Path) -> str:
    """What to call a corpus where folders of this machine say nothing: the last part of its path.

    The name of a data set of the hub stays whole.
    """
    if str(source).startswith("hf:"):
        return str(source)
    return Path(source).name or Path(source).resolve().name


def locate(source: str | Path, format: Format | None = None) -> Location:
    """Where ``source`` points, and its format unless given.

    Raises ``CorpusError`` when there is nothing.
    """
    if isinstance(source, str) and source.startswith("hf:"):
        return _hub_location(source)
    path = Path(source)
    if format == "dataset" and not path.exists() and ":" not in str(source):
        return _hub_location(f"hf:{source}")
    if path.is_dir():
        return Location(str(path), "dataset")
    folder, _, split = str(source).rpartition(":")
    if folder and not path.exists() and Path(folder).is_dir():
        return Location(folder, "dataset", split or None)
    if not path.exists():
        raise missing_file(path)
    return Location(str(path), format or format_by_name(path) or _sniff(path))


def format_by_name(path: Path) -> Format | None:
    """The format that the ending of a file's name says, if any."""
    return _BY_SUFFIX.get(path.suffix.lower())


def refuse_empty(corpus: Corpus, source: str) -> None:
    """Raise ``CorpusError`` for a corpus without sentences."""
    if not any(corpus.sentences):
        advice = "give one with at least one sentence"
        raise CorpusError([Problem(source, None, "there are no sentences", advice)])


def _hub_location(source: str) -> Location:
    match = _HUB.fullmatch(source)
    parts = match["name"].split("/") if match else []
    if match is None or not 1 <= len(parts) <= 3 or not all(parts):
        advice = "write hf:org/name, hf:org/name@revision:split or hf:org/name/configuration"
        raise CorpusError([Problem(source, None, "not the name of a data set", advice)])
    name, configuration = "/".join(parts[:2]), parts[2] if len(parts) == 3 else None
    return Location(name, "dataset", match["split"], match["revision"], configuration)


def _sniff(path: Path) -> Format:
    head = read_bytes(path).removeprefix(b"\xef\xbb\xbf").lstrip()
    # A word of a CoNLL file may be a brace, but a blank and its tag then come next.
    return "jsonl" if re.match(rb'\{\s*"', head) else "conll"
