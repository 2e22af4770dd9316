"""Several processes that train one tagger, as torchrun starts them.

Each computes the features of a part of the sentences, then the gradient of a part of each batch;
the sum of the gradients is that of the whole batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import timedelta

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from llamaner.backbone.blocks import choose_device
from llamaner.terminal import console

_LONGEST_WAIT = timedelta(days=7)
"""Others wait while one process adds to the feature store, which may take long."""


def join_processes(device: str) -> PartialState:
    """The group of processes that this one was started in, or this one alone.

    Only the first of a group speaks.
    """
    cpu = choose_device(device).type == "cpu"
    alone = "LOCAL_RANK" not in os.environ
    processes = PartialState(cpu=cpu, **({} if alone else {"timeout": _LONGEST_WAIT}))
    console.quiet = not processes.is_main_process
    return processes


def is_first_process() -> bool:
    """Whether this process speaks for its group."""
    return int(os.environ.get("RANK", "0")) == 0


def share_of(batch: Sequence[int], processes: PartialState) -> Sequence[int]:
    """The part of a batch that falls to this process; it may be empty."""
    return batch[processes.process_index :: processes.num_processes]


def averaged(parameters: Iterable[nn.Parameter], total: Tensor, count: int) -> Tensor:
    """The mean loss of a batch that the processes share, and its gradient in the parameters.

    ``total`` is the loss of this process's ``count`` sentences, not divided by their number, and
    ``parameters`` have its gradient.
    """
    given = [parameter for parameter in parameters if parameter.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in given]
    own = [total.detach().reshape(1), total.new_tensor([float(count)])]
    flat = torch.cat([*own, *(gradient.flatten() for gradient in gradients)])
    torch.distributed.all_reduce(flat)
    flat /= flat[1].clone()
    sizes = [gradient.numel() for gradient in gradients]
    for parameter, mean in zip(given, torch.split(flat[2:], sizes), strict=True):
        parameter.grad = mean.view_as(parameter)
    return flat[0]


def agreed(value: float, processes: PartialState) -> float:
    """The first process's value, in all."""
    if processes.num_processes == 1:
        return value
    values = [value]
    broadcast_object_list(values)
    return values[0]
