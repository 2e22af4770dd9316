"""How many subwords a batch holds: enough, what fits, or half of it where it did not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import psutil
import torch

from llamaner.errors import BackboneError
from llamaner.terminal import console

Result = TypeVar("Result")

ENOUGH_ON_CPU = 2048
ENOUGH_ON_GPU = 16384
"""Enough to keep the device busy; what is more costs memory."""
SMALLEST = 64
SHARE = 0.5
"""Of the free memory, for a batch: the machine may be used by others too."""


def free_bytes(device: torch.device) -> int:
    """Memory that is free on ``device``; on a CPU what can be had without swapping."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def choose_budget(free: int, bytes_per_subword: int, device: torch.device) -> int:
    """Subwords in a batch: enough for ``device``, or as many as half of the free memory holds.

    Never fewer than 64, which always are tried.
    """
    enough = ENOUGH_ON_CPU if device.type == "cpu" else ENOUGH_ON_GPU
    return max(SMALLEST, min(enough, int(free * SHARE) // bytes_per_subword))


class TokenBudget:
    """Subwords in a batch, padding included; halved where a batch did not fit into memory."""

    def __init__(self, subwords: int) -> None:
        self.subwords = subwords

    def batches(
        self, lengths: Sequence[int], compute: Callable[[list[int]], Result]
    ) -> Iterator[tuple[list[int], Result]]:
        """Indices of ``lengths``, longest first, in batches, with what ``compute`` makes of each.

        Rows times the longest row stay within the budget; a row that is longer than that goes
        alone. A batch that does not fit into memory is tried again in halves. Raises
        ``BackboneError`` where a lone row does not fit.
        """
        order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
        position = 0
        while position < len(order):
            longest = max(1, lengths[order[position]])
            indices = order[position : position + max(1, self.subwords // longest)]
            result = _unless_out_of_memory(compute, indices)
            if result is None:
                self._halve(len(indices), longest)
                continue
            yield indices, result
            position += len(indices)

    def _halve(self, rows: int, longest: int) -> None:
        if rows == 1:
            raise BackboneError(
                f"a row of {longest} subwords does not fit into memory: use fewer layers, a lower "
                "precision, quantization or a smaller window; see `llamaner plan`"
            )
        self.subwords = max(longest, rows * longest // 2)
        console.print(f"out of memory: batches now hold {self.subwords:,} subwords")


def _unless_out_of_memory(
    compute: Callable[[list[int]], Result], indices: list[int]
) -> Result | None:
    """The result, or ``None`` where there was not enough memory for it."""
    try:
        return compute(indices)
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
    # Outside of the handler: its traceback holds on to the tensors of the failed attempt.
    from accelerate.utils.memory import clear_device_cache

    clear_device_cache()
    return None


def _is_out_of_memory(error: Exception) -> bool:
    """CUDA has an error of its own; a CPU's allocator raises ``RuntimeError``."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(
        sign in str(error)
        for sign in ("can't allocate memory", "not enough memory", "out of memory")
    )
