"""Likelihoods as one autograd function: a log-sum over some paths, less the log-sum over all.

The gradient comes from the messages (Eisner 2016; Mensch & Blondel 2018): no tape through time.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from llamaner.tagger.crf.forward_backward import (
    Expectations,
    Messages,
    Potentials,
    pass_messages,
)


class GoldPath:
    """One path a sentence, for the numerator of a likelihood."""

    def __init__(self, potentials: Potentials, tags: Tensor, places: Tensor) -> None:
        """``tags`` (words, sentences); ``places`` (sentences, words + 1): steps in `scores`.

        A place past the end of `Potentials.scores` is a step that scores nothing (padding).
        """
        self.mask, self.tags, self.places = potentials.mask, tags[..., None], places
        self.moved = nn.functional.pad(potentials.scores, (0, 1)).take(places)
        emitted = potentials.words.gather(2, self.tags)[..., 0]
        self.log_sum = (emitted * self.mask).sum(0) + self.moved.sum(1)

    def add_uses(self, found: Expectations, weights: Tensor) -> None:
        """Count the path's own scores, weighted by sentence."""
        found.words.scatter_add_(2, self.tags, (weights * self.mask)[..., None])
        uses = found.scores.new_zeros(len(found.scores) + 1)
        each = weights[:, None].expand_as(self.places)
        uses.index_add_(0, self.places.flatten(), each.flatten())
        found.scores.add_(uses[:-1])


class Clamped:
    """All the paths that agree with partial labels, for the numerator of a likelihood."""

    def __init__(self, potentials: Potentials, period: int) -> None:
        self.messages = pass_messages(potentials, period)
        self.log_sum = self.messages.log_z

    def add_uses(self, found: Expectations, weights: Tensor) -> None:
        """Count the expected uses among these paths, weighted by sentence."""
        mine = self.messages.expectations(weights)
        found.words.add_(mine.words)
        found.scores.add_(mine.scores)


class LogRatio(torch.autograd.Function):
    """log (sum over some paths / Z), a number a sentence; -log Z where no paths are given.

    The gradient is the expected use of each score among those paths, less that among all. Both
    are float64 and cancel before they are rounded to the type of the emissions.
    """

    @staticmethod
    def forward(
        ctx: Any,
        emissions: Tensor,
        scores: Tensor,
        everything: Messages,
        some: GoldPath | Clamped | None,
    ) -> Tensor:
        """``everything`` and ``some`` were made from ``emissions`` (B, T, K) and ``scores``."""
        ctx.everything, ctx.some, ctx.dtype = everything, some, emissions.dtype
        return -everything.log_z if some is None else some.log_sum - everything.log_z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Gradients for a gradient ``weights`` (sentences)."""
        found: Expectations = ctx.everything.expectations(-weights)
        if ctx.some is not None:
            ctx.some.add_uses(found, weights)
        return found.words.transpose(0, 1).to(ctx.dtype), found.scores, None, None


def log_ratio(
    emissions: Tensor, scores: Tensor, everything: Messages, some: GoldPath | Clamped | None
) -> Tensor:
    """`LogRatio` (sentences), differentiable in ``emissions`` (B, T, K) and ``scores``."""
    ratio: Tensor = LogRatio.apply(emissions, scores, everything, some)  # type: ignore[no-untyped-call]
    return ratio
