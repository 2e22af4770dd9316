"""A moving average of the weights, which generalises better than the weights of any one step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class WeightAverage(AveragedModel):
    """The exponential moving average of a module's weights (Polyak & Juditsky 1992).

    After n steps the decay is min(``decay``, (1 + n) / (10 + n)), so that the weights of the
    beginning are forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        def average(old: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
            now = min(decay, float((1 + count) / (10 + count)))
            return torch.lerp(new, old, now)

        super().__init__(model, avg_fn=average)
        self._trained = [model]  # in a list, so that it is no part of this module

    def update(self) -> None:
        """Take up the weights after a step."""
        self.update_parameters(self._trained[0])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The trained module has the average weights meanwhile."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for ours, average in zip(
            self._trained[0].parameters(), self.module.parameters(), strict=True
        ):
            ours.data, average.data = average.data, ours.data
