"""Where a system departs from gold: which entity for which, and in what way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from llamaner.corpus import Entity
from llamaner.evaluation.pairs import Predictions, key_of

Kind = Literal["wrong label", "wrong boundary", "wrong label and boundary", "missed", "invented"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Match = tuple[Entity | None, Entity | None]
"""A gold entity and the found one that stands for it; ``None`` where there is no such."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One error, counted once though it may cost a gold and a found entity.

    ``sentence`` counts the data's sentences from 0. ``gold_confidence`` is the probability that
    the system gave the gold entity, where it is known.
    """

    sentence: int
    kind: Kind
    gold: Entity | None
    found: Entity | None
    gold_confidence: float | None = None

    @property
    def suspicion(self) -> float | None:
        """How sure the system is that gold is wrong here, from 0 to 1; ``None`` where unknown.

        It is the confidence of what was found, or that a missed entity is none.
        """
        if self.found is not None:
            return self.found.confidence
        return None if self.gold_confidence is None else 1 - self.gold_confidence


def disagreements(predictions: Predictions) -> Iterator[Disagreement]:
    """All errors of strict scoring, in order."""
    for number, pair in enumerate(predictions.pairs):
        for gold, found in match(pair.gold.strict, pair.found.strict):
            if (kind := _kind(gold, found)) is not None:
                confidence = None
                if gold is not None:
                    confidence = predictions.gold_confidence.get((number, key_of(gold)))
                yield Disagreement(number, kind, gold, found, confidence)


def match(gold: Sequence[Entity], found: Sequence[Entity]) -> list[Match]:
    """Which found entity stands for which gold one, each used once, in order.

    Those that share most words belong together; among equals, those of the same label, then the
    first.
    """
    overlaps = sorted(
        (-shared, one.label != other.label, one.word_start, other.word_start, i, j)
        for i, one in enumerate(gold)
        for j, other in enumerate(found)
        if (shared := _shared_words(one, other)) > 0
    )
    partner: dict[int, int] = {}
    for *_, i, j in overlaps:
        if i not in partner and j not in partner.values():
            partner[i] = j
    matches: list[Match] = [
        (entity, found[partner[i]] if i in partner else None) for i, entity in enumerate(gold)
    ]
    taken = set(partner.values())
    matches += [(None, entity) for j, entity in enumerate(found) if j not in taken]
    return sorted(matches, key=_position)


def _shared_words(one: Entity, other: Entity) -> int:
    return min(one.word_end, other.word_end) - max(one.word_start, other.word_start)


def _position(pair: Match) -> int:
    return min(entity.word_start for entity in pair if entity is not None)


def _kind(gold: Entity | None, found: Entity | None) -> Kind | None:
    if gold is None:
        return "invented"
    if found is None:
        return "missed"
    same_place = (gold.word_start, gold.word_end) == (found.word_start, found.word_end)
    if gold.label == found.label:
        return None if same_place else "wrong boundary"
    return "wrong label" if same_place else "wrong label and boundary"
