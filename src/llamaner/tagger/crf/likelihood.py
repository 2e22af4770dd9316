"""Likelihoods as one autograd function: a log-sum over some paths, less the log-sum over all.

The gradient comes from the messages (Eisner 2016; Mensch & Blondel 2018): no tape through time.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from llamaner.tagger.crf.arrays import Array, as_array, as_tensor, namespace, take_rows
from llamaner.tagger.crf.checks import UNKNOWN_TAG
from llamaner.tagger.crf.forward_backward import Expectations, Messages, pass_messages
from llamaner.tagger.crf.potentials import Potentials, split_scores


class GoldSteps(NamedTuple):
    """The steps of one path a sentence, from edge to edge."""

    names: Array
    """(sentences, words + 2): tags; K at edges and padding, K + 1 where unknown."""
    places: Array
    """(sentences, words + 1): in `Potentials.scores`; past its end, at padding, for no score."""
    scores: Array
    """(sentences, words + 1)"""


def gold_steps(tags: Array, mask: Array, scores: Array, index: Array) -> GoldSteps:
    """Steps of ``tags`` (B, T), -1 where unknown; ``index`` (K + 2, K + 2) gives the places."""
    xp, edge = namespace(mask), len(index) - 2
    sentences, words = mask.shape
    names = xp.full((sentences, words + 2), edge, dtype=tags.dtype, device=mask.device)
    names[:, 1:-1] = xp.where(mask, xp.where(tags == UNKNOWN_TAG, edge + 1, tags), edge)
    places = take_rows(index.reshape(-1), names[:, :-1] * (edge + 2) + names[:, 1:])
    padded = xp.concatenate((scores, xp.zeros_like(scores[:1])))
    return GoldSteps(names, places, take_rows(padded, places))


class GoldPath:
    """One path a sentence, for the numerator of a likelihood."""

    def __init__(self, potentials: Potentials, tags: Array, steps: GoldSteps) -> None:
        """``tags`` (sentences, words): any of the tag list at padding."""
        self.mask, self.tags = potentials.mask, as_tensor(tags.T)[..., None]
        self.places = as_tensor(steps.places)
        emitted = as_array(potentials.words.gather(2, self.tags)[..., 0] * self.mask)
        self.log_sum = as_tensor(emitted.sum(0) + steps.scores.sum(1))

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
        start: Tensor,
        transitions: Tensor,
        end: Tensor,
        everything: Messages,
        some: GoldPath | Clamped | None,
    ) -> Tensor:
        """``everything`` and ``some`` were made from ``emissions`` (B, T, K) and the scores."""
        ctx.everything, ctx.some = everything, some
        ctx.dtypes = emissions.dtype, start.dtype, transitions.dtype, end.dtype
        log_z = everything.log_z
        ratio = -log_z if some is None else some.log_sum - log_z
        return ratio.to(result_dtype(emissions))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients for a gradient ``weights`` (sentences)."""
        weights = weights.to(ctx.everything.log_z.dtype)
        found: Expectations = ctx.everything.expectations(-weights)
        if ctx.some is not None:
            ctx.some.add_uses(found, weights)
        used = found.words.transpose(0, 1), *split_scores(found.scores, found.words.shape[-1])
        grads = (use.to(dtype) for use, dtype in zip(used, ctx.dtypes, strict=True))
        return *grads, None, None


def log_ratio(
    emissions: Tensor,
    scores: tuple[Tensor, Tensor, Tensor],
    everything: Messages,
    some: GoldPath | Clamped | None,
) -> Tensor:
    """`LogRatio` (sentences), differentiable in ``emissions`` and start, transition, end scores."""
    ratio: Tensor = LogRatio.apply(emissions, *scores, everything, some)  # type: ignore[no-untyped-call]
    return ratio


def result_dtype(emissions: Tensor) -> torch.dtype:
    """float64 for float64 ``emissions``, else float32."""
    return torch.float64 if emissions.dtype == torch.float64 else torch.float32
