"""Corpora of the Hugging Face ``datasets`` library: hub ids, folders, Parquet files.

A row is a sentence: a list of words and a list of tags, names or the integers of a ``ClassLabel``.
Rows in succession with the same document id make a document; without such a column the split is
one document. Further columns are not read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llamaner.corpus.schemes import decode, recognise, split_tag
from llamaner.corpus.types import Corpus, Document, Sentence
from llamaner.errors import CorpusError, Problem

if TYPE_CHECKING:
    from datasets import Dataset

# Every script data set of the hub has its Parquet conversion there.
PARQUET_REVISION = "refs/convert/parquet"

_WORDS = ("tokens", "words")
_TAGS = ("ner_tags", "tags", "labels", "ner")
_DOCUMENT = ("document_id", "doc_id", "document")

_log = logging.getLogger(__name__)


def read_dataset(
    source: str | Path,
    *,
    split: str | None = None,
    revision: str | None = None,
    configuration: str | None = None,
    words_column: str | None = None,
    tags_column: str | None = None,
    document_column: str | None = None,
) -> Corpus:
    """The corpus in a split of a data set.

    ``source`` is a hub id, a folder that ``save_to_disk`` wrote or that holds Parquet or JSON
    files, or a Parquet file. ``split`` may be left out where there is one only. Columns not named
    are found by their usual names, such as ``tokens`` and ``ner_tags``. A hub id that holds only
    a script is read from its Parquet conversion, and the log says so.
    Raises ``CorpusError`` when the data cannot be had or understood.
    """
    name = str(source)
    data = _one_split(_load(name, split, revision, configuration), name, split)
    rows = _Rows(name, data.column_names, _features(data))
    words = rows.column(words_column, _WORDS, "words")
    tags = rows.column(tags_column, _TAGS, "tags")
    document = rows.optional_column(document_column, _DOCUMENT)
    return _corpus(rows, data, words, tags, document)


@dataclass
class _Rows:
    """What is known of a data set's columns, and what was found wrong with its rows."""

    source: str
    names: Sequence[str]
    tag_names: Mapping[str, Sequence[str]]
    problems: list[Problem] = field(default_factory=list)

    def column(self, name: str | None, usual: Sequence[str], holds: str) -> str:
        found = self.optional_column(name, usual)
        if found is None:
            advice = f"name the column of the {holds}"
            raise self.error(f"no column of {holds} among {', '.join(self.names)}", advice)
        return found

    def optional_column(self, name: str | None, usual: Sequence[str]) -> str | None:
        if name is not None and name not in self.names:
            raise self.error(f"no column {name!r}", f"there are {', '.join(self.names)}")
        return name or next((known for known in usual if known in self.names), None)

    def error(self, found: str, advice: str) -> CorpusError:
        return CorpusError([Problem(self.source, None, found, advice)])

    def fault(self, row: int, found: str, advice: str) -> None:
        self.problems.append(Problem(self.source, None, f"row {row}: {found}", advice))


def _corpus(rows: _Rows, data: Dataset, words: str, tags: str, document: str | None) -> Corpus:
    tokens, tagged = data[words][:], data[tags][:]
    named = rows.tag_names.get(tags)
    names = [
        _row_tags(rows, i, *row, named) for i, row in enumerate(zip(tokens, tagged, strict=True))
    ]
    if rows.problems:
        raise CorpusError(rows.problems)
    scheme = recognise(names)
    try:
        sentences = [
            Sentence.from_words(own, decode(own_tags, scheme))
            for own, own_tags in zip(tokens, names, strict=True)
        ]
    except ValueError as error:
        raise rows.error(f"{error}, which fits the rest best", "use one scheme") from None
    ids = [str(value) for value in data[document][:]] if document else [""] * len(sentences)
    return Corpus(tuple(_documents(sentences, ids)), scheme)


def _documents(sentences: Sequence[Sentence], ids: Sequence[str]) -> Iterator[Document]:
    pairs = ((name, s) for name, s in zip(ids, sentences, strict=True) if s.spans)
    for name, group in groupby(pairs, key=lambda pair: pair[0]):
        made = Document.from_sentences([sentence for _, sentence in group], name)
        yield replace(made, coherent=bool(name))


def _row_tags(
    rows: _Rows, row: int, words: object, tags: object, names: Sequence[str] | None
) -> list[str]:
    if not isinstance(words, list) or not all(isinstance(w, str) and w for w in words):
        rows.fault(row, "the words are not a list of strings, none empty", "mend or name another")
    elif not isinstance(tags, list) or len(tags) != len(words):
        rows.fault(row, f"{len(words)} words without a tag each", "give each word one tag")
    else:
        resolved = [_tag_name(tag, names) for tag in tags]
        if None not in resolved:
            return [str(tag) for tag in resolved]
        odd = tags[resolved.index(None)]
        whole = isinstance(odd, int) and names is None
        advice = "make the column a ClassLabel, which has the names" if whole else "mend the tag"
        rows.fault(row, f"{odd!r} is not a tag", advice)
    return []


def _tag_name(tag: object, names: Sequence[str] | None) -> str | None:
    if isinstance(tag, int) and names is not None:
        tag = names[tag] if 0 <= tag < len(names) else None
    try:
        if isinstance(tag, str):
            split_tag(tag)
            return tag
    except ValueError:
        pass
    return None


def _features(data: Dataset) -> dict[str, Sequence[str]]:
    """The names behind the integers of each column of class labels."""
    found: dict[str, Sequence[str]] = {}
    for column, feature in data.features.items():
        names = getattr(getattr(feature, "feature", None), "names", None)
        if names:
            found[column] = list(names)
    return found


def _load(source: str, split: str | None, revision: str | None, configuration: str | None) -> Any:
    try:
        import datasets
    except ImportError:
        advice = 'pip install "llamaner[datasets]"'
        problem = Problem(source, None, "this needs the datasets library", advice)
        raise CorpusError([problem]) from None
    try:
        path = Path(source)
        if path.is_file():
            return datasets.Dataset.from_parquet(source)
        if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
            return datasets.load_from_disk(source)
        return _load_id(datasets, source, split, revision, configuration)
    # The library and those below it raise errors of many families for the same bad input.
    except Exception as error:
        found = f"cannot be loaded: {' '.join(str(error).split()) or type(error).__name__}"
        advice = "check the name, its revision and configuration, and the network"
        raise CorpusError([Problem(source, None, found, advice)]) from error


def _load_id(
    datasets: Any, source: str, split: str | None, revision: str | None, configuration: str | None
) -> Any:
    def load(at: str | None) -> Any:
        return datasets.load_dataset(source, configuration, split=split, revision=at)

    try:
        return load(revision)
    except RuntimeError as error:
        if revision is not None or "scripts are no longer supported" not in str(error):
            raise
        _log.warning("%s holds a script only: reading its revision %s", source, PARQUET_REVISION)
        return load(PARQUET_REVISION)


def _one_split(loaded: Any, source: str, split: str | None) -> Dataset:
    if not isinstance(loaded, dict):
        return loaded
    if split is None and len(loaded) == 1:
        return next(iter(loaded.values()))
    if split not in loaded:
        found = f"no split {split!r}" if split else "several splits"
        advice = f"name one of {', '.join(map(str, loaded))}"
        raise CorpusError([Problem(source, None, found, advice)])
    return loaded[split]
