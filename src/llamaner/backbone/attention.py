"""Blocks that see what follows: the causal mask taken off, of all blocks or of some.

Dukić & Šnajder 2024 (arXiv 2401.14556), BehnamGhader et al. 2024 (LLM2Vec, arXiv 2404.05961).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from llamaner.errors import ConfigurationError

UPPER = 0.4
"""Blocks above this part of the depth are the upper ones."""


def first_upper_block(depth: int) -> int:
    """The lowest of the upper blocks, counted from 1."""
    return round(UPPER * depth) + 1


def unmasked_blocks(attention: str, depth: int) -> frozenset[int]:
    """The blocks, counted from 1, that ``attention`` lets see what follows.

    Raises ``ConfigurationError`` for a block that the model does not have.
    """
    name, _, ranges = attention.partition(":")
    if name == "causal":
        return frozenset()
    if ranges == "upper":
        return frozenset(range(first_upper_block(depth), depth + 1))
    blocks: set[int] = set()
    for part in (ranges or f"1-{depth}").split(","):
        first, last = map(int, part.split("-"))
        if not 1 <= first <= last <= depth:
            raise ConfigurationError(
                f"attention {attention!r}: the backbone has blocks 1 to {depth}, not {part}"
            )
        blocks.update(range(first, last + 1))
    return frozenset(blocks)


def see_both_ways(block: nn.Module, padding: Callable[[], Tensor]) -> None:
    """Let ``block`` attend to all subwords of a row but its padding.

    ``padding()`` gives the mask (B, 1, 1, S) of the rows at hand, added to the attention scores.
    """

    def unmask(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return args, {**kwargs, "attention_mask": padding()}

    block.register_forward_pre_hook(unmask, with_kwargs=True)


def padding_mask(lengths: Tensor, longest: int, dtype: torch.dtype) -> Tensor:
    """(B, 1, longest, longest): 0 at the subwords of a row, the type's lowest value at padding."""
    padded = torch.arange(longest, device=lengths.device) >= lengths[:, None]
    mask = torch.zeros(padded.shape, dtype=dtype, device=lengths.device)
    mask.masked_fill_(padded, torch.finfo(dtype).min)
    return mask[:, None, None, :].expand(-1, 1, longest, -1)
