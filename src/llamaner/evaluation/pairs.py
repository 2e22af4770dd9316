"""Gold sentences beside what a system found in them.

Entities are read from tags as the conlleval script reads them. Strict scoring counts fewer: what
ill-formed tags mark is no entity (one that begins with ``I-``, in BIO), and ``loose`` says where
such entities begin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from llamaner.corpus import Document, Entity, LabelSpan, Sentence


@dataclass(frozen=True, slots=True)
class Tagged:
    """A sentence with entities; ``loose`` are the first words of those that strict refuses."""

    sentence: Sentence
    loose: frozenset[int] = frozenset()

    @property
    def strict(self) -> tuple[Entity, ...]:
        """The entities that strict scoring counts."""
        entities = self.sentence.entities
        if not self.loose:
            return entities
        return tuple(entity for entity in entities if entity.word_start not in self.loose)


@dataclass(frozen=True, slots=True)
class Pair:
    """A gold sentence and the same words as a system tagged them.

    ``document`` counts the data's documents from 0.
    """

    document: int
    gold: Tagged
    found: Tagged


@dataclass(frozen=True)
class Predictions:
    """What one system found in annotated documents: a pair for each sentence, in order.

    ``gold_confidence`` has, for gold entities that the system did not find, the probability that
    it gave them all the same, by sentence number and span.
    """

    name: str
    documents: tuple[Document, ...]
    pairs: tuple[Pair, ...]
    gold_confidence: Mapping[tuple[int, LabelSpan], float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, name: str, gold: Sequence[Document], predicted: Sequence[Sequence[Sentence]]
    ) -> Predictions:
        """Gold documents and the predicted sentences of each.

        Raises ``ValueError`` where sentences differ in their words.
        """
        for document, sentences in zip(gold, predicted, strict=True):
            if [s.spans for s in document.sentences] != [s.spans for s in sentences]:
                raise ValueError(f"the sentences predicted for document {document.id!r} are others")
        pairs = (
            Pair(number, Tagged(true), Tagged(found))
            for number, (document, sentences) in enumerate(zip(gold, predicted, strict=True))
            for true, found in zip(document.sentences, sentences, strict=True)
        )
        return cls(name, tuple(gold), tuple(pairs))

    @property
    def labels(self) -> list[str]:
        """The labels that gold or the system has, sorted."""
        return sorted(
            {
                entity.label
                for pair in self.pairs
                for tagged in (pair.gold, pair.found)
                for entity in tagged.sentence.entities
            }
        )

    @property
    def has_confidence(self) -> bool:
        """Whether something was found, and all of it has a confidence."""
        found = [entity for pair in self.pairs for entity in pair.found.sentence.entities]
        return bool(found) and all(entity.confidence is not None for entity in found)


def key_of(entity: Entity) -> LabelSpan:
    """What must agree for two entities of a sentence to be the same."""
    return LabelSpan(entity.label, entity.word_start, entity.word_end)
