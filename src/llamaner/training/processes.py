"""Several processes that train one tagger, as torchrun and `accelerate launch` start them.

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


def share_of(batch: Sequence[int], processes: PartialState) -> tuple[Sequence[int], float]:
    """The part of a batch that falls to this process, and the weight of its mean loss.

    Where there are fewer sentences than processes, some take one that weighs nothing.
    """
    if processes.num_processes == 1:
        return batch, 1.0
    mine = batch[processes.process_index :: processes.num_processes]
    return mine or batch[:1], len(mine) / len(batch)


def add_up(parameters: Iterable[nn.Parameter], loss: Tensor, processes: PartialState) -> Tensor:
    """The sum of ``loss`` over all processes, and in each parameter the sum of the gradients."""
    if processes.num_processes == 1:
        return loss
    given = [parameter for parameter in parameters if parameter.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in given]
    flat = torch.cat([loss.detach().reshape(1), *(gradient.flatten() for gradient in gradients)])
    torch.distributed.all_reduce(flat)
    total, *sums = flat.split([1, *(gradient.numel() for gradient in gradients)])
    for parameter, summed in zip(given, sums, strict=True):
        parameter.grad = summed.view_as(parameter)
    return total[0]


def agreed(value: float, processes: PartialState) -> float:
    """The first process's value, in all."""
    if processes.num_processes == 1:
        return value
    values = [value]
    broadcast_object_list(values)
    return values[0]
