"""Predictions of any system, from files: CoNLL columns, or JSON lines with confidences.

A file has the gold tags in its last column but one and the predicted tags in its last, as conlleval
wants them; or it has predictions alone, and the gold annotation comes from another file with the
same words. Sentences are compared in order; which documents they belong to, gold says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from llamaner.corpus import Document, LabelSpan, Scheme, Sentence, encode, read_corpus
from llamaner.corpus.conll import corpus_from_rows
from llamaner.corpus.conll_rows import read_rows
from llamaner.corpus.reading import locate, refuse_empty
from llamaner.corpus.schemes import split_tag
from llamaner.errors import CorpusError, Problem
from llamaner.evaluation.pairs import Pair, Predictions, Tagged

_SAME_WORDS = "predictions must have the words of the gold data, in the same order"


@dataclass(frozen=True)
class TaggedData:
    """Documents, with what strict scoring needs to know of each of their sentences.

    ``lines`` are those of each sentence's words; there are none where the format has none.
    """

    path: str
    documents: tuple[Document, ...]
    sentences: tuple[Tagged, ...]
    lines: tuple[Sequence[int], ...] = ()

    @classmethod
    def of(cls, path: str, documents: Sequence[Document]) -> TaggedData:
        """Documents whose entities all count."""
        sentences = (Tagged(sentence) for document in documents for sentence in document.sentences)
        return cls(path, tuple(documents), tuple(sentences))

    def pairs(self, gold: TaggedData) -> Iterator[Pair]:
        """Gold sentences beside these, which have the same words."""
        found = iter(self.sentences)
        true = iter(gold.sentences)
        for number, document in enumerate(gold.documents):
            for _ in document.sentences:
                yield Pair(number, next(true), next(found))


def read_tagged(
    source: str,
    *,
    word_column: int = 0,
    tag_column: int = -1,
    language: str = "en",
) -> TaggedData:
    """A corpus file with its tags as they stand. Raises ``CorpusError`` as ``read_corpus`` does."""
    if locate(source).format == "conll":
        return _read_columns(source, word_column, tag_column)
    corpus = read_corpus(source, language=language)
    return TaggedData.of(source, corpus.documents)


def read_predictions(
    path: Path, gold: TaggedData | None, *, word_column: int = 0, tag_column: int = -1
) -> tuple[TaggedData, Predictions]:
    """The gold annotation and a system's predictions for it.

    Without ``gold``, the column before ``tag_column`` has it. Raises ``CorpusError`` where a file
    cannot be read, or the words differ.
    """
    source = str(path)
    if gold is None:
        if locate(source).format != "conll":
            advice = "give the annotated data as --data"
            raise CorpusError([Problem(source, None, "holds no gold annotation", advice)])
        gold = _read_columns(source, word_column, tag_column - 1)
    found = read_tagged(source, word_column=word_column, tag_column=tag_column)
    _require_same_words(gold, found)
    return gold, Predictions(source, gold.documents, tuple(found.pairs(gold)))


def _read_columns(path: str, word_column: int, tag_column: int) -> TaggedData:
    file, problems = read_rows(path, word_column=word_column, tag_column=tag_column)
    corpus = corpus_from_rows(file, problems)
    refuse_empty(corpus, path)
    rows = list(file.sentences)
    tag = file.layout.tag or 0
    sentences = tuple(
        Tagged(sentence, _loose_starts(sentence, row.column(tag), corpus.scheme))
        for sentence, row in zip(corpus.sentences, rows, strict=True)
    )
    return TaggedData(path, corpus.documents, sentences, tuple(row.lines for row in rows))


def _loose_starts(sentence: Sentence, tags: Sequence[str], scheme: Scheme | None) -> frozenset[int]:
    """Where entities begin whose tags are not those that the scheme has for them."""
    # In IOB1 whether B- or I- comes first depends on the neighbours, and nothing depends on it.
    if scheme is None or scheme == "IOB1":
        return frozenset()
    return frozenset(
        span.start
        for span in sentence.label_spans
        if [split_tag(tag) for tag in tags[span.start : span.end]] != _proper(span, scheme)
    )


def _proper(span: LabelSpan, scheme: Scheme) -> list[tuple[str, str]]:
    length = span.end - span.start
    return [split_tag(tag) for tag in encode([LabelSpan(span.label, 0, length)], length, scheme)]


def _require_same_words(gold: TaggedData, found: TaggedData) -> None:
    pairs = zip_longest(gold.sentences, found.sentences)
    for number, (true, other) in enumerate(pairs):
        if true is None or other is None:
            raise CorpusError([_other_count(gold, found)])
        if true.sentence.words != other.sentence.words:
            raise CorpusError([_other_words(gold, found, number)])


def _other_count(gold: TaggedData, found: TaggedData) -> Problem:
    has, needed = len(found.sentences), len(gold.sentences)
    return Problem(
        found.path,
        found.lines[-1][-1] if found.lines else None,
        f"ends after {has:,} sentences, where {gold.path} has {needed:,}"
        if has < needed
        else f"has {has:,} sentences, where {gold.path} ends after {needed:,}",
        _SAME_WORDS,
    )


def _other_words(gold: TaggedData, found: TaggedData, number: int) -> Problem:
    true, other = (file.sentences[number].sentence for file in (gold, found))
    word = _first_difference(true, other)
    place = _place(gold, number, word)
    if word < len(other):
        line = found.lines[number][word] if found.lines else None
        has = f"{other.words[word]!r} stands"
    else:
        line = found.lines[number][-1] if found.lines and len(other) else None
        has = f"the sentence ends after {len(other)} words"
    needed = f"has {true.words[word]!r}" if word < len(true) else "ends the sentence"
    where = "" if line else f"in sentence {number + 1}, "
    return Problem(found.path, line, f"{where}{has} where {place} {needed}", _SAME_WORDS)


def _first_difference(one: Sentence, other: Sentence) -> int:
    both = zip_longest(one.words, other.words)
    return next(number for number, (a, b) in enumerate(both) if a != b)


def _place(file: TaggedData, sentence: int, word: int) -> str:
    if not file.lines:
        return f"sentence {sentence + 1} of {file.path}"
    lines = file.lines[sentence]
    return f"{file.path}:{lines[min(word, len(lines) - 1)]}"
