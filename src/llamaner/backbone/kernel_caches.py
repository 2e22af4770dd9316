"""Bounds for what PyTorch keeps on a CPU of each shape of a product that it has met."""

from __future__ import annotations

import os

READING, LEARNING = 64, 256
"""How many are kept: reading a batch needs about six; learning needs more, and meets them again."""


def bound_kernel_caches(*, learns: bool = False) -> None:
    """Let oneDNN and PyTorch's layer over it keep few kernels, unless the environment has numbers.

    Each keeps 1,024, and hardly two batches of text have the same shape: over a million words that
    adds up to a gibibyte. The first call counts, and only before the first product.
    """
    kept = LEARNING if learns else READING
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(kept))
    os.environ.setdefault("LRU_CACHE_CAPACITY", str(READING))
