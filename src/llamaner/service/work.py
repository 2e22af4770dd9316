"""The unit of work: a document made of one or more texts of a request, and what is found in it."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from llamaner.corpus import Document, Entity, Sentence, segment

Text = str | tuple[str, ...]
"""A text, or a sentence given as words."""

_GAP = "\n\n"
# What a LLaMA tokenizer joins to longer pieces; digits and signs mostly stay alone.
_JOINED = (string.ascii_letters + " ").encode()


@dataclass(frozen=True)
class Work:
    """Texts that are read as one document, so that each is the context of the others.

    ``indices`` are their places in the request.
    """

    indices: tuple[int, ...]
    texts: tuple[Text, ...]

    @cached_property
    def subwords(self) -> int:
        """About how many subwords the texts have: the cost of the work.

        No tokenizer is asked, so that the server's event loop is not held up: four ASCII letters
        or spaces count as one subword, and so does every other byte. It is rather too many.
        """
        total = 0
        for text in self.texts:
            plain = text if isinstance(text, str) else " ".join(text)
            data = plain.encode("utf-8", "replace")
            rest = len(data.translate(None, _JOINED))
            total += 1 + rest + (len(data) - rest) // 4
        return total

    @property
    def characters(self) -> int:
        """The length of the document."""
        return sum(map(_length, self.texts))

    def document(self, language: str) -> Document:
        """The document, its texts apart from each other as paragraphs are."""
        parts, sentences, position = [], [], 0
        for text in self.texts:
            part, found = _sentences(text, language)
            sentences += [replace(s, start=s.start + position) for s in found]
            parts.append(part)
            position += len(part) + len(_GAP)
        return Document(_GAP.join(parts), tuple(sentences))

    def findings(self, document: Document) -> list[Finding]:
        """What was found in each of the texts, with offsets that count in that text."""
        found, start = [], 0
        for index, text in zip(self.indices, self.texts, strict=True):
            end = start + _length(text)
            sentences = tuple(
                replace(s, start=s.start - start)
                for s in document.sentences
                if start <= s.start and s.start + len(s.text) <= end
            )
            plain = document.text[start:end]
            found.append(Finding(index, Document(plain, sentences)))
            start = end + len(_GAP)
        return found


@dataclass(frozen=True, slots=True)
class Finding:
    """A tagged text, and its place in the request."""

    index: int
    document: Document

    @property
    def entities(self) -> tuple[Entity, ...]:
        """All entities of the text, in order."""
        return self.document.entities


def works_of(texts: Sequence[Text], documents: Sequence[str] | None = None) -> list[Work]:
    """The texts of a request as works, in the order of each one's first text.

    Texts of the same name in ``documents`` are one document; without names each is one.
    """
    if documents is None:
        return [Work((index,), (text,)) for index, text in enumerate(texts)]
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(documents):
        groups.setdefault(name, []).append(index)
    return [Work(tuple(group), tuple(texts[i] for i in group)) for group in groups.values()]


def _length(text: Text) -> int:
    return len(text) if isinstance(text, str) else sum(map(len, text)) + max(0, len(text) - 1)


def _sentences(text: Text, language: str) -> tuple[str, Sequence[Sentence]]:
    if isinstance(text, str):
        return text, segment(text, language)
    sentence = Sentence.from_words(text)
    return sentence.text, [sentence] if sentence.spans else []
