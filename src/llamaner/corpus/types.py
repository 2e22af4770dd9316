"""The data that every room speaks of: entities in sentences in documents in a corpus.

All of it is immutable, and all offsets count Unicode code points of the text they refer to, as
Python's ``str`` does: ``text[start:end]`` is always exactly what the offsets claim.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from llamaner.corpus.schemes import LabelSpan, Scheme, encode


@dataclass(frozen=True, slots=True)
class Entity:
    """A named entity.

    ``text[start:end]`` of the sentence or document that holds it is ``text``; it covers the words
    ``word_start`` to ``word_end`` (exclusive). ``confidence`` is the probability, between 0 and 1,
    that exactly this entity stands there, or ``None`` for gold annotation.
    """

    label: str
    start: int
    end: int
    text: str
    word_start: int
    word_end: int
    confidence: float | None = None

    def shifted(self, characters: int, words: int) -> Entity:
        """The same entity seen from a text that begins so many characters and words earlier."""
        return replace(
            self,
            start=self.start + characters,
            end=self.end + characters,
            word_start=self.word_start + words,
            word_end=self.word_end + words,
        )


@dataclass(frozen=True)
class Sentence:
    """A sentence: its text, where its words lie in it, and its entities.

    ``spans`` are the words' half-open character ranges, in order, not empty, not overlapping.
    ``start`` is where ``text`` begins in its document's text. ``columns`` keeps further
    annotation of a corpus file, a row of values a column, each as long as ``spans``;
    ``comments`` the comment lines that stood before the sentence.

    Raises ``ValueError`` when the parts contradict each other.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    entities: tuple[Entity, ...] = ()
    start: int = 0
    columns: tuple[tuple[str, ...], ...] = ()
    comments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_spans(self.text, self.spans)
        _check_entities(self.text, self.spans, self.entities)
        if any(len(column) != len(self.spans) for column in self.columns):
            raise ValueError(f"each column must have {len(self.spans)} values, one a word")

    @classmethod
    def from_words(
        cls,
        words: Sequence[str],
        spans: Sequence[LabelSpan] = (),
        *,
        start: int = 0,
        columns: Sequence[Sequence[str]] = (),
        comments: Sequence[str] = (),
    ) -> Sentence:
        """The words joined by one space, with ``spans`` (in words) as its entities."""
        offsets, position = [], 0
        for word in words:
            offsets.append((position, position + len(word)))
            position += len(word) + 1
        sentence = cls(
            " ".join(words),
            tuple(offsets),
            start=start,
            columns=tuple(tuple(column) for column in columns),
            comments=tuple(comments),
        )
        return sentence.with_entities(spans) if spans else sentence

    def with_entities(
        self, spans: Sequence[LabelSpan], confidences: Sequence[float] | None = None
    ) -> Sentence:
        """The same sentence with these entities, and no others."""
        entities = tuple(
            self.entity(span, None if confidences is None else confidences[i])
            for i, span in enumerate(spans)
        )
        return replace(self, entities=entities)

    def entity(self, span: LabelSpan, confidence: float | None = None) -> Entity:
        """The entity over the words ``span.start`` to ``span.end`` (exclusive)."""
        start, end = self.spans[span.start][0], self.spans[span.end - 1][1]
        return Entity(
            span.label, start, end, self.text[start:end], span.start, span.end, confidence
        )

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words' texts."""
        return tuple(self.text[start:end] for start, end in self.spans)

    @property
    def label_spans(self) -> list[LabelSpan]:
        """The entities as spans of words."""
        return [LabelSpan(e.label, e.word_start, e.word_end) for e in self.entities]

    def tags(self, scheme: Scheme = "BIO") -> list[str]:
        """One tag a word."""
        return encode(self.label_spans, len(self.spans), scheme)

    def __len__(self) -> int:
        return len(self.spans)


@dataclass(frozen=True)
class Document:
    """A text and its sentences: ``text[s.start : s.start + len(s.text)] == s.text`` for each.

    ``metadata`` holds whatever else a corpus file says of the document. ``coherent`` is False
    where nobody said that the sentences follow each other in one text, as in a CoNLL file without
    ``-DOCSTART-`` lines: none is context to another.
    """

    text: str
    sentences: tuple[Sentence, ...]
    id: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    coherent: bool = field(default=True, compare=False)

    def __post_init__(self) -> None:
        position = 0
        for sentence in self.sentences:
            if sentence.start < position or not self.text.startswith(sentence.text, sentence.start):
                raise ValueError(f"sentence at {sentence.start} is not a part of the text in order")
            position = sentence.start + len(sentence.text)

    @classmethod
    def from_sentences(cls, sentences: Sequence[Sentence], id: str = "") -> Document:
        """The sentences joined by one line break."""
        placed, position = [], 0
        for sentence in sentences:
            placed.append(replace(sentence, start=position))
            position += len(sentence.text) + 1
        return cls("\n".join(s.text for s in placed), tuple(placed), id)

    @property
    def entities(self) -> tuple[Entity, ...]:
        """All entities, with offsets into the document's text and words."""
        found: list[Entity] = []
        words = 0
        for sentence in self.sentences:
            found.extend(entity.shifted(sentence.start, words) for entity in sentence.entities)
            words += len(sentence)
        return tuple(found)

    def __len__(self) -> int:
        return len(self.sentences)


@dataclass(frozen=True)
class Corpus:
    """Documents in order, and the label scheme of their file where it had one."""

    documents: tuple[Document, ...]
    scheme: Scheme | None = None

    @property
    def sentences(self) -> Iterator[Sentence]:
        """All sentences in order."""
        return (sentence for document in self.documents for sentence in document.sentences)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels that occur, sorted."""
        return tuple(sorted({e.label for s in self.sentences for e in s.entities}))

    def __len__(self) -> int:
        return len(self.documents)


def _check_spans(text: str, spans: Sequence[tuple[int, int]]) -> None:
    position = 0
    for start, end in spans:
        if not position <= start < end <= len(text):
            raise ValueError(f"word at {start}:{end} is empty, out of order or outside the text")
        position = end


def _check_entities(
    text: str, spans: Sequence[tuple[int, int]], entities: Sequence[Entity]
) -> None:
    position = 0
    for entity in entities:
        if not position <= entity.word_start < entity.word_end <= len(spans):
            raise ValueError(f"{entity} overlaps another, or covers no words of the sentence")
        expected = (spans[entity.word_start][0], spans[entity.word_end - 1][1])
        if (entity.start, entity.end) != expected:
            raise ValueError(f"{entity} does not begin and end with its words, at {expected}")
        if text[entity.start : entity.end] != entity.text:
            raise ValueError(f"{entity} has another text than {text[entity.start : entity.end]!r}")
        position = entity.word_end
