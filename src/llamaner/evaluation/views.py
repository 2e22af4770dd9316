"""Nervaluate's four ways to count (SemEval 2013, task 9.1), beside seqeval's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nervaluate import Evaluator

from llamaner.corpus import Entity
from llamaner.evaluation.pairs import Predictions

VIEWS = {
    "strict": "label and both ends right",
    "exact": "both ends right, whatever the label",
    "partial": "any overlap, whatever the label; half a point where an end is wrong",
    "ent_type": "label right, with any overlap",
}


@dataclass(frozen=True, slots=True)
class View:
    """One of nervaluate's views of all entities, or of those of one label."""

    name: str
    label: str | None
    correct: int
    incorrect: int
    partial: int
    missed: int
    spurious: int
    precision: float
    recall: float
    f1: float


def views(predictions: Predictions) -> tuple[View, ...]:
    """All views of all entities, then of each label."""
    labels = predictions.labels
    pairs = [pair for pair in predictions.pairs if pair.gold.strict or pair.found.strict]
    # An evaluator of nothing at all has no results to give.
    if not pairs:
        return ()
    evaluator = Evaluator(
        [_spans(pair.gold.strict) for pair in pairs],
        [_spans(pair.found.strict) for pair in pairs],
        tags=labels,
        loader="dict",
    )
    results = evaluator.evaluate()
    found = [_view(name, None, results["overall"][name]) for name in VIEWS]
    for label in labels:
        found += [_view(n, label, r) for n, r in results["entities"].get(label, {}).items()]
    return tuple(found)


def _spans(entities: Sequence[Entity]) -> list[dict[str, Any]]:
    """Nervaluate's ends are inclusive."""
    return [{"label": e.label, "start": e.word_start, "end": e.word_end - 1} for e in entities]


def _view(name: str, label: str | None, result: Any) -> View:
    return View(
        name,
        label,
        result.correct,
        result.incorrect,
        result.partial,
        result.missed,
        result.spurious,
        float(result.precision),
        float(result.recall),
        float(result.f1),
    )
