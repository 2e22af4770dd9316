"""Bounds for what PyTorch keeps on a CPU of each shape of a product that it has met."""

from __future__ import annotations

import os

CAPACITY = "256"
"""How many are kept: reading a batch needs about six, a step of LoRA, with its gradients, more."""


def bound_kernel_caches() -> None:
    """Let oneDNN and PyTorch's layer over it keep few kernels, unless the environment has numbers.

    Each keeps 1,024, and hardly two batches of text have the same shape: over a million words that
    adds up to a gibibyte. Call it before the first product; later it has no effect.
    """
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, CAPACITY)
