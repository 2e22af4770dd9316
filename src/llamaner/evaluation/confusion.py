"""Which label stands for which, and what stands for nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from llamaner.evaluation.disagreements import match
from llamaner.evaluation.pairs import Predictions

NOTHING = ""
"""The row of what was invented, and the column of what was missed."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """How many gold entities of ``labels[i]`` were found as ``labels[j]``: ``counts[i][j]``.

    The last row and column stand for nothing. A wrong boundary does not matter here.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


def confusion(predictions: Predictions) -> Confusion:
    """The matrix of all matched entities."""
    cells = Counter(
        (gold.label if gold else NOTHING, found.label if found else NOTHING)
        for pair in predictions.pairs
        for gold, found in match(pair.gold.strict, pair.found.strict)
    )
    labels = (*predictions.labels, NOTHING)
    return Confusion(labels, tuple(tuple(cells[g, f] for f in labels) for g in labels))
