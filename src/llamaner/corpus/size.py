"""How large a corpus is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from llamaner.corpus.types import Document


@dataclass(frozen=True, slots=True)
class CorpusSize:
    """Numbers of documents, sentences and words, and of the entities of each label."""

    documents: int
    sentences: int
    words: int
    entities: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def corpus_size(documents: Iterable[Document]) -> CorpusSize:
    """Count what is in ``documents``."""
    documents = list(documents)
    sentences = [sentence for document in documents for sentence in document.sentences]
    labels = Counter(entity.label for sentence in sentences for entity in sentence.entities)
    words = sum(map(len, sentences))
    return CorpusSize(len(documents), len(sentences), words, dict(sorted(labels.items())))
