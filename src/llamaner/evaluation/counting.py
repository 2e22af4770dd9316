"""How many entities are right, document by document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from llamaner.corpus import Entity
from llamaner.evaluation.intervals import Array
from llamaner.evaluation.pairs import Pair, Predictions, Tagged, key_of

Reading = Callable[[Tagged], tuple[Entity, ...]]
"""Which entities of a sentence count: ``strict`` or ``lenient``."""


def strict(tagged: Tagged) -> tuple[Entity, ...]:
    """The entities that strict scoring counts."""
    return tagged.strict


def lenient(tagged: Tagged) -> tuple[Entity, ...]:
    """The entities that the conlleval script counts."""
    return tagged.sentence.entities


def count(
    predictions: Predictions,
    columns: int,
    column_of: Callable[[int, Entity], Iterable[int]],
    reading: Reading = strict,
) -> Array:
    """(U, N, 3): entities in both, in gold and found, in each of U units and N columns.

    ``column_of`` says in which columns the entity of a sentence (by number) counts. A unit is a
    document; a corpus of one document is counted by sentences.
    """
    alone = len(predictions.documents) < 2
    counts = np.zeros((len(predictions.pairs if alone else predictions.documents), columns, 3))
    for number, pair in enumerate(predictions.pairs):
        unit = counts[number if alone else pair.document]
        gold, found = reading(pair.gold), reading(pair.found)
        for part, entities in ((0, both(gold, found)), (1, gold), (2, found)):
            for entity in entities:
                for column in column_of(number, entity):
                    unit[column, part] += 1
    return counts


def both(gold: Sequence[Entity], found: Sequence[Entity]) -> list[Entity]:
    """The found entities that gold has too."""
    if not gold or not found:
        return []
    keys = {key_of(entity) for entity in gold}
    return [entity for entity in found if key_of(entity) in keys]


def is_well_formed(pairs: Iterable[Pair]) -> bool:
    """Whether both readings are the same."""
    return not any(pair.gold.loose or pair.found.loose for pair in pairs)
