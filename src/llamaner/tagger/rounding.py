"""Rows in round numbers: oneDNN makes a kernel for each shape of a product, which takes time."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import pad

WORDS = 64
"""Batches of words are filled up to a multiple of so many."""


def rounded_up(count: int, step: int = WORDS) -> int:
    """The next multiple of ``step``."""
    return -(-count // step) * step


def filled_up(rows: Tensor) -> Tensor:
    """``rows`` (N, D) and below them zeros up to a multiple of ``WORDS``."""
    return pad(rows, (0, 0, 0, rounded_up(len(rows)) - len(rows)))
