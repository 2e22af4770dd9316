"""Precision, recall and F1 of entities, as seqeval counts them.

The headline is strict: an entity counts when its label and both ends are right, and what an
ill-formed tag sequence marks is no entity (seqeval's ``mode="strict"`` with IOB2). Beside it
stands what the conlleval script, and seqeval by default, read out of ill-formed tags.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from llamaner.corpus import Document, Entity, LabelSpan, Sentence, decode
from llamaner.evaluation.counting import Reading, count, is_well_formed, lenient, strict
from llamaner.evaluation.intervals import Array, Interval, f1_intervals
from llamaner.evaluation.pairs import Predictions, Tagged


@dataclass(frozen=True, slots=True)
class Score:
    """Precision, recall and F1 between 0 and 1, and how many gold and found entities there are.

    ``interval`` is the 95% interval of F1, documents drawn with replacement; ``None`` where it is
    not known, as for tags without documents or where there are no entities.
    """

    precision: float
    recall: float
    f1: float
    support: int
    found: int
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of one way of counting: over all entities (micro average), and for each label."""

    overall: Score
    labels: dict[str, Score]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What ``llamaner evaluate`` reports."""

    strict: Scores
    conlleval: Scores
    documents: int
    sentences: int
    words: int

    @property
    def interval(self) -> Interval | None:
        """The 95% interval of the strict F1."""
        return self.strict.overall.interval

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {**asdict(self), "interval": self.interval}


def evaluate(gold: Sequence[Document], predicted: Sequence[Sequence[Sentence]]) -> Evaluation:
    """Compare gold documents with the predicted sentences of each.

    Every gold word is scored. Raises ``ValueError`` where sentences differ in their words.
    """
    return evaluate_predictions(Predictions.of("", gold, predicted))


def evaluate_predictions(predictions: Predictions) -> Evaluation:
    """Score what a system found."""
    found = _scores(predictions, strict)
    alike = is_well_formed(predictions.pairs)
    return Evaluation(
        strict=found,
        conlleval=found if alike else _scores(predictions, lenient),
        documents=len(predictions.documents),
        sentences=len(predictions.pairs),
        words=sum(len(pair.gold.sentence) for pair in predictions.pairs),
    )


def strict_scores(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Scores:
    """The scores of seqeval's strict mode with IOB2, for BIO tags."""
    return _tag_scores(gold, predicted, loose=False)


def conlleval_scores(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Scores:
    """The scores of the conlleval script, and of seqeval's default, for BIO tags."""
    return _tag_scores(gold, predicted, loose=True)


def tagged(sentence: Sentence, tags: Sequence[str]) -> Tagged:
    """A sentence with the entities that BIO tags mark, and which of them begin with ``I-``."""
    spans = decode(tags)
    loose = frozenset(span.start for span in spans if tags[span.start][0] == "I")
    return Tagged(sentence.with_entities(spans), loose)


def score(counts: Sequence[float] | Array, interval: Interval | None = None) -> Score:
    """The score of entities in both, in gold, and found."""
    both, gold, found = (int(value) for value in counts)
    return Score(
        precision=both / max(1, found),
        recall=both / max(1, gold),
        f1=2 * both / max(1, gold + found),
        support=gold,
        found=found,
        interval=interval,
    )


def label_counts(
    predictions: Predictions, labels: Sequence[str], reading: Reading = strict
) -> Array:
    """(U, 1 + labels, 3): entities in both, gold and found, over all labels first."""
    columns = {label: (0, number) for number, label in enumerate(labels, 1)}

    def column_of(_: int, entity: Entity) -> Iterable[int]:
        return columns[entity.label]

    return count(predictions, 1 + len(labels), column_of, reading)


def _scores(predictions: Predictions, reading: Reading) -> Scores:
    labels = predictions.labels
    counts = label_counts(predictions, labels, reading)
    return _labelled(labels, counts.sum(axis=0), f1_intervals(counts))


def _tag_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], *, loose: bool
) -> Scores:
    totals: dict[str, list[int]] = {}
    for true_tags, found_tags in zip(gold, predicted, strict=True):
        true, found = _spans(true_tags, loose=loose), _spans(found_tags, loose=loose)
        for part, spans in enumerate((true & found, true, found)):
            for span in spans:
                totals.setdefault(span.label, [0, 0, 0])[part] += 1
    labels = sorted(totals)
    counts = np.array([[0, 0, 0], *(totals[label] for label in labels)], dtype=np.float64)
    counts[0] = counts.sum(axis=0)
    return _labelled(labels, counts, [None] * len(counts))


def _spans(tags: Sequence[str], *, loose: bool) -> set[LabelSpan]:
    return {span for span in decode(tags) if loose or tags[span.start][0] == "B"}


def _labelled(labels: Sequence[str], counts: Array, intervals: Sequence[Interval | None]) -> Scores:
    """Scores from the counts (1 + labels, 3) of all entities and of each label's."""
    scores = [score(*row) for row in zip(counts, intervals, strict=True)]
    named = zip(labels, scores[1:], strict=True)
    # A label that only the other reading knows has no row in this one.
    return Scores(scores[0], {label: s for label, s in named if s.support or s.found})
