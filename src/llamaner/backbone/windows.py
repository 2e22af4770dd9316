"""Over-long sentences, read in overlapping windows."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple


class Window(NamedTuple):
    """The subwords from ``start`` to ``end`` are given to the model, ``keep_start`` to ``keep_end``
    are read from it; all four count subwords of the sentence, ends exclusive.
    """

    start: int
    end: int
    keep_start: int
    keep_end: int


def windows(length: int, size: int, overlap: int) -> list[Window]:
    """Windows over ``length`` subwords; what they keep covers each subword exactly once.

    Neighbours share at least ``overlap`` subwords and meet in the middle of what they share, so
    that each subword is read with at least ``overlap // 2`` subwords on both sides, or as many as
    the sentence has. There are as few as that takes, all of the same length, which is ``size`` or
    less: full ones would overlap by more than was asked for, and be read for nothing.
    """
    if length <= size:
        return [Window(0, length, 0, length)]
    count = -(-(length - overlap) // (size - overlap))
    each = -(-(length + (count - 1) * overlap) // count)
    starts = [i * (length - each) // (count - 1) for i in range(count)]
    cuts = [0, *((a + each + b) // 2 for a, b in pairwise(starts)), length]
    return [Window(start, start + each, cuts[i], cuts[i + 1]) for i, start in enumerate(starts)]
