"""One way to write what takes many short calls: NumPy on the CPU, PyTorch on other devices.

At 17 tags a step of a recursion is a microsecond of arithmetic, and the call costs more: a call of
NumPy a third to a fifth of one of PyTorch. An `Array` is therefore a tensor on an accelerator, and
on the CPU the NumPy view of one, which shares its memory. Code on arrays uses what both spell
alike, so each recursion is written once. Where PyTorch's kernels are the faster ones (reductions
over tags, sums and maxima over all transitions) it goes back to tensors with `as_tensor`.
"""

from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

Array: TypeAlias = Any
"""A `Tensor`, or the NumPy view of one."""

NUMPY_ON_CPU = True
"""The one place that chooses."""

silent = np.errstate(all="ignore")
"""Decorates functions on arrays: as in PyTorch, log 0 is -inf and inf - inf NaN, no warning."""

_HALF = (torch.bfloat16, torch.float16)


def as_array(tensor: Tensor) -> Array:
    """View ``tensor`` without its autograd history; half precision comes back as a float32 copy."""
    if not (NUMPY_ON_CPU and tensor.is_cpu):
        return tensor.detach()
    if tensor.dtype in _HALF:
        tensor = tensor.float()
    return tensor.numpy(force=True)


def as_tensor(array: Array) -> Tensor:
    """The tensor that shares its memory with ``array``, or a copy if that is not contiguous."""
    return array if isinstance(array, Tensor) else torch.from_numpy(np.asarray(array, order="C"))


def namespace(array: Array) -> Any:
    """The module with the functions for ``array``: ``torch`` or ``numpy``."""
    return torch if isinstance(array, Tensor) else np


def take_rows(values: Array, rows: Array) -> Array:
    """``values[rows]``, whatever the shape of ``rows``, by the fastest call there is for it."""
    if isinstance(values, Tensor):
        taken = values.index_select(0, rows.reshape(-1))
        return taken.view(*rows.shape, *values.shape[1:])
    return values.take(rows, 0)
