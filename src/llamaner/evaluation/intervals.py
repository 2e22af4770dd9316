"""95% intervals of F1 and of differences of F1, by drawing documents with replacement.

F1 is a ratio of sums over documents, so that its standard error is known for each draw as well
(linearisation). The intervals are those of the symmetric studentised bootstrap (Hall 1988), for
F1 on the logit scale: with few documents the plain percentile interval is too short, as
``benchmarks/coverage.py`` shows. Where nothing, or everything, is wrong there is nothing to draw,
and the interval is the exact one of as many independent entities.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DRAWS = 1000
_DRAWS_AT_ONCE = 100
_LEVEL = 0.95

Interval = tuple[float, float]
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How much higher one F1 is than another on the same documents, its interval, and p.

    There is no interval, and p is 1, where the systems do not differ.
    """

    value: float
    interval: Interval | None
    p: float


@dataclass(frozen=True, slots=True)
class _Drawn:
    """N statistics and their standard errors, for the data (N) and for each draw (R, N)."""

    value: Array
    error: Array
    values: Array
    errors: Array


def f1_intervals(counts: Array, seed: int = 0) -> list[Interval | None]:
    """The interval of each of N micro F1 scores, from (U, N, 3) counts.

    The counts are entities in both, in gold, and found, in each of U documents. ``None`` where
    there are no entities, or where documents do not differ though there are errors.
    """
    if not counts.size:
        return [None] * counts.shape[1]
    drawn = _draw(_halves(counts), seed)
    sizes = counts[:, :, 1:].sum(axis=(0, 2))
    return [_f1_interval(drawn, number, float(size)) for number, size in enumerate(sizes)]


def paired_differences(first: Array, second: Array, seed: int = 0) -> list[PairedDifference]:
    """F1 of ``second`` less that of ``first``, for each of N scores; (U, N, 3) counts of each.

    p is two-sided: how often a draw departs from the difference, in standard errors, by as much as
    the difference does from 0.
    """
    drawn = _draw(np.concatenate([_halves(first), _halves(second)], axis=2), seed)
    sizes = np.minimum(*(counts[:, :, 1:].sum(axis=(0, 2)) for counts in (first, second)))
    return [_difference(drawn, number, 0.5 / max(1.0, size)) for number, size in enumerate(sizes)]


def randomisation_p(first: Array, second: Array, *, shuffles: int, seed: int = 0) -> float:
    """The two-sided p of approximate randomisation (Noreen 1989, Yeh 2000); (U, 3) counts of each.

    In each shuffle the two systems change places in each document with probability 1/2.
    """
    total_first, total_second = first.sum(axis=0), second.sum(axis=0)
    change = (second - first)[(first != second).any(axis=1)]
    observed = abs(_f1(total_second) - _f1(total_first))
    rng, extreme = np.random.default_rng(seed), 0
    for size in _parts(shuffles):
        moved = rng.integers(0, 2, (size, len(change))).astype(np.float64) @ change
        apart = np.abs(_f1(total_second - moved) - _f1(total_first + moved))
        extreme += int(np.count_nonzero(apart >= observed - 1e-12))
    return (extreme + 1) / (shuffles + 1)


def _halves(counts: Array) -> Array:
    """(U, N, 2): numerator and denominator of F1 = 2 · both / (gold + found)."""
    return np.stack([2 * counts[..., 0], counts[..., 1] + counts[..., 2]], axis=-1)


def _f1(counts: Array) -> Array:
    f1: Array = 2 * counts[..., 0] / np.maximum(1, counts[..., 1] + counts[..., 2])
    return f1


def _f1_interval(drawn: _Drawn, number: int, size: float) -> Interval | None:
    if drawn.error[number] == 0:
        return _exact_interval(float(drawn.value[number]), size)
    smallest = 0.5 / size
    centre, error = _logit(drawn.value[number], drawn.error[number], smallest)
    values, errors = _logit(drawn.values[:, number], drawn.errors[:, number], smallest)
    reach = np.quantile(np.abs(values - centre) / errors, _LEVEL) * error
    low, high = 1 / (1 + np.exp([reach - centre, -reach - centre]))
    return float(low), float(high)


def _exact_interval(value: float, size: float) -> Interval | None:
    """The interval of a binomial share that is 0 or 1 in the sample (Clopper & Pearson 1934)."""
    reach = 1 - ((1 - _LEVEL) / 2) ** (2 / size) if size else 0.0
    if size and value in (0.0, 1.0):
        return (1 - reach, 1.0) if value else (0.0, reach)
    return None


def _difference(drawn: _Drawn, number: int, smallest: float) -> PairedDifference:
    value = float(drawn.value[number])
    if drawn.error[number] == 0:
        return PairedDifference(value, None, 1.0)
    # Draws that lack the few documents in which the systems differ have next to no error.
    error = max(float(drawn.error[number]), smallest)
    departures = np.abs(drawn.values[:, number] - value)
    departures /= np.maximum(drawn.errors[:, number], smallest)
    reach = float(np.quantile(departures, _LEVEL)) * error
    extreme = int(np.count_nonzero(departures >= abs(value) / error))
    interval = (max(-1.0, value - reach), min(1.0, value + reach))
    return PairedDifference(value, interval, (extreme + 1) / (DRAWS + 1))


def _draw(columns: Array, seed: int) -> _Drawn:
    """F1 from (U, N, 2) halves, or the second F1 less the first from (U, N, 4), in each draw.

    A squared error is a quadratic form of sums of products of the halves, which are sums over
    documents like the halves' own: one matrix product gives all of them for many draws.
    """
    units, count, width = columns.shape
    products = (columns[..., :, None] * columns[..., None, :]).reshape(units, count, -1)
    parts = np.concatenate([columns, products], axis=2).reshape(units, -1)
    shape = (-1, count, width + width**2)
    value, error = _statistics(parts.sum(axis=0).reshape(shape), units, width)
    rng, shares = np.random.default_rng(seed), np.full(units, 1 / units)
    drawn = [
        _statistics((_weights(rng, shares, size) @ parts).reshape(shape), units, width)
        for size in _parts(DRAWS)
    ]
    values, errors = (np.concatenate([part[i] for part in drawn]) for i in range(2))
    return _Drawn(value[0], error[0], values, errors)


def _weights(rng: np.random.Generator, shares: Array, size: int) -> Array:
    """(size, U): how often each document is in each draw."""
    return rng.multinomial(len(shares), shares, size).astype(np.float64)


def _statistics(sums: Array, units: int, width: int) -> tuple[Array, Array]:
    """The statistics (R, N) and their standard errors (R, N) from sums (R, N, width + width²)."""
    value = np.zeros(sums.shape[:2])
    slopes = np.zeros((*sums.shape[:2], width))
    for column in range(0, width, 2):
        size = np.maximum(1, sums[..., column + 1])
        f1 = sums[..., column] / size
        sign = 1.0 if column == width - 2 else -1.0
        value += sign * f1
        slopes[..., column], slopes[..., column + 1] = sign / size, -sign * f1 / size
    products = sums[..., width:].reshape(*sums.shape[:2], width, width)
    squares = np.einsum("rni,rnij,rnj->rn", slopes, products, slopes)
    # This much is left of 0 by rounding; a single error among a million entities gives 1e-12.
    squares[squares < 1e-15] = 0
    return value, np.sqrt(squares * units / max(1, units - 1))


def _logit(value: Array, error: Array, smallest: float) -> tuple[Array, Array]:
    """Values and their errors on the logit scale.

    Half an entity, ``smallest``, keeps draws without any error, or with nothing right, away from
    infinity.
    """
    inside = np.clip(value, smallest, 1 - smallest)
    return np.log(inside / (1 - inside)), np.maximum(error, smallest) / (inside * (1 - inside))


def _parts(count: int) -> Iterator[int]:
    for start in range(0, count, _DRAWS_AT_ONCE):
        yield min(_DRAWS_AT_ONCE, count - start)
