"""Whether confidence means what it says, and what a threshold on it buys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llamaner.evaluation.counting import both
from llamaner.evaluation.pairs import Predictions, key_of

_BINS = 10
_CURVE_POINTS = 200

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bin:
    """The found entities with a confidence from ``low`` to ``high``."""

    low: float
    high: float
    count: int
    confidence: float
    """Their mean confidence; 0 where there are none, as ``precision``."""
    precision: float
    """Which part of them is right."""


@dataclass(frozen=True, slots=True)
class Point:
    """What is left where entities of less confidence than ``threshold`` are left out."""

    threshold: float
    precision: float
    recall: float


@dataclass(frozen=True)
class Calibration:
    """Confidence against what is right.

    ``expected_error`` is the expected calibration error over ten bins of equal width (Guo et al.
    2017). ``curve`` has up to 200 points from the lowest threshold to the highest; ``frontier``
    has, exactly, all thresholds below which precision is nowhere as high.
    """

    expected_error: float
    bins: tuple[Bin, ...]
    curve: tuple[Point, ...]
    frontier: tuple[Point, ...]

    def threshold_for(self, precision: float) -> Point | None:
        """The lowest threshold that gives at least this precision, if any does."""
        return next((point for point in self.frontier if point.precision >= precision), None)


def calibration(predictions: Predictions) -> Calibration:
    """Calibration of found entities. They must have confidences."""
    confidence, right = _judged(predictions)
    support = sum(len(pair.gold.strict) for pair in predictions.pairs)
    points = _points(confidence, right, support)
    bins = _bins(confidence, right)
    error = sum(b.count * abs(b.confidence - b.precision) for b in bins) / max(1, len(right))
    step = max(1, len(points) // _CURVE_POINTS)
    return Calibration(error, bins, (*points[:-1:step], points[-1]), _frontier(points))


def _judged(predictions: Predictions) -> tuple[Array, npt.NDArray[np.bool_]]:
    """(N) confidence of each found entity, and (N) whether it is right."""
    confidence, right = [], []
    for pair in predictions.pairs:
        keys = {key_of(entity) for entity in both(pair.gold.strict, pair.found.strict)}
        for entity in pair.found.strict:
            confidence.append(entity.confidence or 0.0)
            right.append(key_of(entity) in keys)
    return np.array(confidence), np.array(right, dtype=bool)


def _bins(confidence: Array, right: npt.NDArray[np.bool_]) -> tuple[Bin, ...]:
    which = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    made = []
    for number in range(_BINS):
        inside = which == number
        count = int(inside.sum())
        mean = float(confidence[inside].mean()) if count else 0.0
        precision = float(right[inside].mean()) if count else 0.0
        made.append(Bin(number / _BINS, (number + 1) / _BINS, count, mean, precision))
    return tuple(made)


def _points(confidence: Array, right: npt.NDArray[np.bool_], support: int) -> list[Point]:
    """One point for each confidence that occurs, lowest first."""
    order = np.argsort(-confidence, kind="stable")
    ordered = confidence[order]
    hits = np.cumsum(right[order])
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    return [
        Point(float(ordered[i]), float(hits[i] / (i + 1)), float(hits[i] / max(1, support)))
        for i in last[::-1]
    ]


def _frontier(points: Sequence[Point]) -> tuple[Point, ...]:
    kept: list[Point] = []
    for point in points:
        if not kept or point.precision > kept[-1].precision:
            kept.append(point)
    return tuple(kept)
