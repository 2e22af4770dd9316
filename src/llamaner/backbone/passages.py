"""What the backbone reads at once: a sentence by itself, or a stretch of a document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from llamaner.corpus import Document, Sentence

STRETCH_WORDS = 1024
"""Longer documents are read in stretches of about so many words, so that memory stays bounded."""

WORDS_IN_PART = 2**17
"""Rows, and what the tokenizer makes of a text, take some 300 bytes a word while they are there."""

_CHARACTERS_A_SUBWORD = 8
"""More than subwords have on average in any language, so that a margin is wide enough."""


class Passage(Protocol):
    """A text to be read by itself, and the characters of the words that get vectors.

    A ``Sentence`` is one.
    """

    @property
    def text(self) -> str:
        """All that is read."""

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """The words, as half-open ranges of characters of ``text``, in order."""

    def __len__(self) -> int:
        """How many words get vectors."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive sentences of a document, with the text around them as context."""

    text: str
    spans: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.spans)


def passages(documents: Sequence[Document], context: int) -> list[Passage]:
    """The documents' words as passages, in order.

    Without ``context`` (in subwords), and where a document is not coherent, each sentence is a
    passage of its own.
    """
    return [passage for document in documents for passage in _passages(document, context)]


def parts(passages: Sequence[Passage]) -> Iterator[slice]:
    """Consecutive passages of about ``WORDS_IN_PART`` words in all, which bounds memory."""
    first, words = 0, 0
    for index, passage in enumerate(passages):
        if words and words + len(passage) > WORDS_IN_PART:
            yield slice(first, index)
            first, words = index, 0
        words += len(passage)
    if passages:
        yield slice(first, len(passages))


def _passages(document: Document, context: int) -> Iterator[Passage]:
    if not context or not document.coherent:
        yield from document.sentences
        return
    for first, last in _stretches(document.sentences):
        start, end = _with_margins(document.sentences, first, last, context)
        spans = tuple(
            (sentence.start - start + a, sentence.start - start + b)
            for sentence in document.sentences[first : last + 1]
            for a, b in sentence.spans
        )
        yield Stretch(document.text[start:end], spans)


def _with_margins(
    sentences: Sequence[Sentence], first: int, last: int, context: int
) -> tuple[int, int]:
    """Where the text of a stretch begins and ends with the sentences around it as context."""
    margin = context * _CHARACTERS_A_SUBWORD
    before, after = first, last
    while before > 0 and sentences[first].start - sentences[before].start < margin:
        before -= 1
    end = _end(sentences[last])
    while after + 1 < len(sentences) and _end(sentences[after]) - end < margin:
        after += 1
    return sentences[before].start, _end(sentences[after])


def _end(sentence: Sentence) -> int:
    return sentence.start + len(sentence.text)


def _stretches(sentences: Sequence[Sentence]) -> Iterator[tuple[int, int]]:
    """The first and last sentence of each stretch."""
    first, words = 0, 0
    for index, sentence in enumerate(sentences):
        if words and words + len(sentence) > STRETCH_WORDS:
            yield first, index - 1
            first, words = index, 0
        words += len(sentence)
    if sentences:
        yield first, len(sentences) - 1
