"""Ratios of interleaved rounds, with bootstrap intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000


@dataclass(frozen=True)
class Ratio:
    """The median of the rounds' ratios, and its 95% interval, rounds drawn with replacement."""

    value: float
    low: float
    high: float


def ratio(above: Sequence[float], below: Sequence[float], seed: int = 0) -> Ratio:
    """``above`` over ``below``, round by round: what slows a round slows both."""
    if len(above) != len(below) or not len(above):
        raise ValueError(f"{len(above)} and {len(below)} rounds: as many of both are needed")
    paired = np.asarray(above, dtype=float) / np.asarray(below, dtype=float)
    rng = np.random.default_rng(seed)
    drawn = np.median(rng.choice(paired, (DRAWS, len(paired))), axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Ratio(float(np.median(paired)), float(low), float(high))
