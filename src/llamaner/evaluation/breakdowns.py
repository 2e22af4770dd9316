"""F1 for groups of entities: by length, by what training had, by sentence, by subwords."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from llamaner.corpus import Entity, Sentence
from llamaner.evaluation.counting import count
from llamaner.evaluation.intervals import f1_intervals
from llamaner.evaluation.pairs import Predictions
from llamaner.evaluation.scores import Score, score

GroupOf = Callable[[int, Entity], int]
"""The group of an entity, by the number of its sentence."""

_LENGTHS = ("1 word", "2 words", "3 words", "4 words", "5 or more")
_SENTENCES = ("1–5 words", "6–10", "11–20", "21–40", "41 or more")
_SUBWORDS = ("1", "over 1, to 1.5", "over 1.5, to 2", "over 2, to 3", "over 3")
_SEEN = ("unseen", "only with another label", "once", "2–4 times", "5–19 times", "20 or more")


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The strict scores of groups of entities, or why there are none.

    A found entity is in the group of its own words and label, a gold entity in that of its own.
    """

    title: str
    groups: dict[str, Score]
    absent: str | None = None


def by_entity_length(predictions: Predictions) -> Breakdown:
    """Entities of one word, two, and so on."""

    def group(_: int, entity: Entity) -> int:
        return min(entity.word_end - entity.word_start, len(_LENGTHS)) - 1

    return _breakdown("Length of the entity", predictions, _LENGTHS, group)


def by_sentence_length(predictions: Predictions) -> Breakdown:
    """Entities in short sentences and in long ones."""

    def group(number: int, _: Entity) -> int:
        return bisect.bisect_left((5, 10, 20, 40), len(predictions.pairs[number].gold.sentence))

    return _breakdown("Length of the sentence", predictions, _SENTENCES, group)


def by_training(
    predictions: Predictions, training: Iterable[Sentence] | None, why_not: str
) -> Breakdown:
    """Entities whose text the training data have so often with this label, or do not have."""
    title = "How often training had the same text with the same label"
    if training is None:
        return Breakdown(title, {}, why_not)
    seen = Counter((e.text, e.label) for sentence in training for e in sentence.entities)
    texts = {text for text, _ in seen}

    def group(_: int, entity: Entity) -> int:
        times = seen[entity.text, entity.label]
        if not times:
            return 1 if entity.text in texts else 0
        return 2 + bisect.bisect_right((2, 5, 20), times)

    return _breakdown(title, predictions, _SEEN, group)


def by_subwords(
    predictions: Predictions, subwords: Sequence[Sequence[int]] | None, why_not: str
) -> Breakdown:
    """Entities by the mean number of subwords of their words; ``subwords`` has a row a sentence."""
    title = "Subwords a word of the entity"
    if subwords is None:
        return Breakdown(title, {}, why_not)
    rows = subwords

    def group(number: int, entity: Entity) -> int:
        counts = rows[number][entity.word_start : entity.word_end]
        return bisect.bisect_left((1, 1.5, 2, 3), sum(counts) / len(counts))

    return _breakdown(title, predictions, _SUBWORDS, group)


def _breakdown(
    title: str, predictions: Predictions, names: Sequence[str], group: GroupOf
) -> Breakdown:
    counts = count(predictions, len(names), lambda number, entity: (group(number, entity),))
    rows = zip(names, counts.sum(axis=0), f1_intervals(counts), strict=True)
    scores = {name: score(row, interval) for name, row, interval in rows}
    return Breakdown(title, {name: s for name, s in scores.items() if s.support or s.found})
