"""What extraction holds in memory next to the weights."""

from __future__ import annotations

from typing import Any

import torch


def activation_bytes(
    config: Any, layers: tuple[int, ...], dtype: torch.dtype, subwords: int
) -> int:
    """The most that a batch of so many subwords takes, in bytes.

    It is the larger of two moments: within the last block, when the states of the other layers are
    kept, and when the states are put together and words are made of them, in float32.
    """
    width, size = config.hidden_size, dtype.itemsize
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or width // heads
    queries = heads * head
    intermediate = getattr(config, "intermediate_size", 4 * width)
    kept = len(layers) * width * size
    # Residual and normalised input, the norm's float32 copies, and the widest step of the block.
    block = 2 * width * size + 2 * width * 4 + size * max(3 * intermediate, 6 * queries)
    # A word is at least a subword: read, weighted and summed in float32.
    words = 3 * len(layers) * width * 4
    each: int = max(kept + block, 2 * kept, kept + words)
    return subwords * each
