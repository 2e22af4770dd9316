"""What stands between words: in files of columns nothing but that a word ends, in texts a space,
two, a line break, or none at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from llamaner.corpus.types import Document, Sentence


def single_spaced(document: Document) -> Document:
    """The same words with one space between them, and a line break between sentences."""
    if document.text == "\n".join(" ".join(sentence.words) for sentence in document.sentences):
        return document
    sentences = [Sentence.from_words(sentence.words) for sentence in document.sentences]
    made = Document.from_sentences(sentences, document.id)
    return replace(made, coherent=document.coherent)


def are_single_spaced(documents: Iterable[Document]) -> bool:
    """Whether all sentences are words with one space between them, as those of columns are."""
    return all(
        sentence.text == " ".join(sentence.words)
        for document in documents
        for sentence in document.sentences
    )
