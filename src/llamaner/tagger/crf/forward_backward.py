"""The forward-backward recursions of a linear-chain CRF.

With start scores s, transition scores A, end scores z and emissions e, both message passes are
(Rabiner 1989, section III, with the scores of Lafferty 2001)

    alpha_0(j) = s_j + e_0j          alpha_t(j) = e_tj + log sum_i exp(alpha_{t-1}(i) + A_ij)
    beta_last(i) = z_i               beta_t(i) = log sum_j exp(A_ij + e_{t+1,j} + beta_{t+1}(j))

and log Z = log sum_j exp(alpha_last(j) + z_j). The gradient of log Z is the expected number of
times that each score is used (Eisner 2016; Mensch & Blondel 2018), and
`Messages.expectations` counts it.

Two ways through the same recursions, both in float64:

* `ScaledMessages`: in probabilities, a matrix product a step, brought back to a sum of 1 every
  ``period`` steps. `scaling_period` proves beforehand that nothing that counts can underflow.
* `LogMessages`: in logarithms, for scores of any size. Slower by the cost of the exponentials.

Forward and backward run as one batch: the backward pass is a forward pass over the reversed
sentence with transposed transitions. Tensors are words first: (words, sentences, tags).
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from llamaner.tagger.crf.arrays import (
    Array,
    as_array,
    as_tensor,
    namespace,
    silent,
)
from llamaner.tagger.crf.potentials import Potentials, split_scores

LARGEST_EXPONENT = 300.0
"""Less than half of what float64 holds (log 1.8e308 = 709): alpha and beta are multiplied."""
LONGEST_PERIOD = 32
WORDS_AT_ONCE = 64
"""The words whose pairs are counted together."""


@dataclass(frozen=True)
class Expectations:
    """Expected uses of each score, weighted by sentence: the gradient of the weighted log Z."""

    words: Tensor
    """(words, sentences, tags)"""
    scores: Tensor
    """(tags x tags + 2 x tags): in the order of `Potentials.scores`."""


class Messages(Protocol):
    """What both passes leave behind."""

    log_z: Tensor
    """(sentences): log-partitions; 0 for an empty sentence, which has just the empty path."""

    def alpha(self) -> Tensor:
        """(words, sentences, tags): log-sums over beginnings, this word's emission included."""
        ...

    def beta(self) -> Tensor:
        """(words, sentences, tags): log-sums over endings, this word's emission left out."""
        ...

    def expectations(self, weights: Tensor) -> Expectations:
        """Expected uses of each score, sentences weighted by ``weights`` (sentences)."""
        ...


@silent
def scaling_period(potentials: Potentials, mixing: int) -> int:
    """How many steps probabilities may go without scaling; 0 where they need logarithms.

    Let a step's scores (transition and emission) spread over R at most. Every usable tag reaches
    every other in ``mixing`` steps, so two messages of one word differ by a factor of at most
    (K exp R)^mixing, and n unscaled steps shrink them by at most (K exp R)^n. As long as
    (n + mixing + 1) (R + log K) stays below `LARGEST_EXPONENT`, nothing underflows.
    """
    words, scores = potentials.words, as_array(potentials.scores)
    if words.dtype != torch.float64 or words.numel() == 0:
        return 0
    xp = namespace(scores)
    lowest = xp.where(scores == -xp.inf, xp.inf, scores).min()
    spread = scores.max() - lowest - potentials.relative.min()
    step = float(spread) + math.log(words.shape[-1])
    if not step < LARGEST_EXPONENT:  # also when a score is NaN or infinite
        return 0
    return max(0, min(LONGEST_PERIOD, int(LARGEST_EXPONENT / max(step, 1.0)) - mixing - 1))


def pass_messages(potentials: Potentials, period: int) -> Messages:
    """Run both recursions, in probabilities when ``period`` is positive."""
    return ScaledMessages(potentials, period) if period else LogMessages(potentials)


class ScaledMessages:
    """Messages as probabilities: alpha and beta up to a factor a word and sentence.

    Axes of the recursion: (words, 2 directions, sentences, tags), the second direction reversed.
    """

    @silent
    def __init__(self, potentials: Potentials, period: int) -> None:
        self.potentials, tags = potentials, potentials.words.shape[-1]
        self.mask, scores = as_array(potentials.mask), as_array(potentials.scores)
        xp = namespace(scores)
        self.top = scores.max()
        start, self.step, end = split_scores(xp.exp(scores - self.top), tags)
        count, sentences, _ = potentials.words.shape
        shape = (count, 2, sentences, tags)
        # after: with the word's emission, whose place it takes; before: without.
        self.after = xp.empty(shape, dtype=scores.dtype, device=scores.device)
        likelihoods = xp.exp(potentials.relative, out=self.after[:, 0])
        self.after[:, 1] = potentials.reverse(likelihoods)
        self.before = xp.empty_like(self.after)
        self.before[0] = xp.concatenate((start, end)).reshape(2, 1, tags)
        self.scale = xp.ones_like(self.after[..., :1])
        self._run(period)
        final = self.after[:, 0][potentials.last] @ end
        self.log_z = as_tensor(self._log_partition(final))

    def _run(self, period: int) -> None:
        xp, previous = namespace(self.step), None
        steps = xp.stack((self.step, self.step.T))
        ones = xp.ones_like(self.step[:, :1])
        for t, (before, after) in enumerate(zip(self.before, self.after, strict=True)):
            if previous is not None:
                xp.matmul(previous, steps, out=before)
            after *= before
            if t % period == period - 1:
                # Where partial labels allow no path, the sum is 0.
                scale = self.scale[t] = xp.clip(after @ ones, 1e-300, None)
                after /= scale
            previous = after

    def _log_partition(self, final: Array) -> Array:
        xp = namespace(final)
        gained = xp.log(self.scale[:, 0, :, 0]) + self.potentials.highest + self.top
        log_z = xp.log(final) + (gained * self.mask).sum(0) + self.top
        return xp.where(self.mask[0], log_z, 0.0)

    def _offsets(self, highest: Array, side: int) -> Array:
        """(words, sentences): what was divided out on one side, up to and with each word."""
        scale = self.scale[:, side, :, 0]
        return (highest + namespace(scale).log(scale) + self.top).cumsum(0)

    @silent
    def alpha(self) -> Tensor:
        """(words, sentences, tags): see `Messages`."""
        logs = namespace(self.after).log(self.after[:, 0])
        return as_tensor(logs + self._offsets(self.potentials.highest, 0)[..., None])

    @silent
    def beta(self) -> Tensor:
        """(words, sentences, tags): see `Messages`."""
        xp, reverse = namespace(self.before), self.potentials.reverse
        offsets = self._offsets(reverse(self.potentials.highest), 1)
        offsets = xp.concatenate((xp.zeros_like(offsets[:1]), offsets[:-1])) + self.top
        return as_tensor(xp.log(reverse(self.before[:, 1])) + reverse(offsets)[..., None])

    @silent
    def expectations(self, weights: Tensor) -> Expectations:
        """Weighted expected counts: see `Messages`. Each word's factor cancels in a division."""
        xp, alpha = namespace(self.after), self.after[:, 0]
        words = self.potentials.reverse(self.before[:, 1]) * alpha
        total = words @ xp.ones_like(self.step[0])
        factor = xp.where(self.mask, as_array(weights) / total, 0.0)[..., None]
        words *= factor
        left = alpha[:-1] * xp.where(self.mask[1:, :, None], factor[:-1], 0.0)
        right = self.potentials.reverse(self.after[:, 1])[1:]
        pairs = self.step * _product(left, right)
        return _with_edges(self.potentials, as_tensor(words), as_tensor(pairs))


def _product(left: Array, right: Array) -> Array:
    """(tags, tags): sum over words and sentences of ``left`` (words, sentences, tags) x ``right``.

    Words in groups: many small products take less time than one large one, whose threads would
    have to wait for each other, and groups take less memory than all of them at once.
    """
    xp, tags = namespace(left), left.shape[-1]
    total = xp.zeros((tags, tags), dtype=left.dtype, device=left.device)
    for begin in range(0, len(left), WORDS_AT_ONCE):
        group = slice(begin, begin + WORDS_AT_ONCE)
        total += xp.matmul(left[group].mT, right[group]).sum(0)
    return total


class LogMessages:
    """Messages as logarithms: right at any size of score. Axes as in `ScaledMessages`."""

    def __init__(self, potentials: Potentials) -> None:
        self.potentials = p = potentials
        self.after = torch.stack((p.words, p.reverse(p.words)), 1)
        self.before = torch.empty_like(self.after)
        self.before[:1] = torch.stack((p.start, p.end))[:, None]
        steps = torch.stack((p.transitions, p.transitions.T))[:, None]
        for t in range(len(self.after)):
            if t:
                self.before[t] = (self.after[t - 1, ..., None] + steps).logsumexp(-2)
            self.after[t] += self.before[t]
        last = tuple(as_tensor(index) for index in p.last)
        final = self.after[:, 0][last] if len(self.after) else self.after.sum((0, 1))
        self.log_z = (final + p.end).logsumexp(-1).masked_fill(p.lengths == 0, 0.0)

    def alpha(self) -> Tensor:
        """(words, sentences, tags): see `Messages`."""
        return self.after[:, 0]

    def beta(self) -> Tensor:
        """(words, sentences, tags): see `Messages`."""
        beta: Tensor = self.potentials.reverse(self.before[:, 1])
        return beta

    def expectations(self, weights: Tensor) -> Expectations:
        """Weighted expected counts: see `Messages`. Pairs go word by word, to save memory."""
        p, alpha = self.potentials, self.alpha()
        words = (alpha + self.beta() - self.log_z[:, None]).exp() * weights[:, None]
        words = words.masked_fill(~p.mask[..., None], 0.0)
        right = p.reverse(self.after[:, 1]) - self.log_z[:, None]
        total = torch.zeros_like(p.transitions)
        for t in range(1, len(words)):
            pairs = (alpha[t - 1, :, :, None] + p.transitions + right[t, :, None]).exp()
            pairs = pairs.masked_fill(~p.mask[t, :, None, None], 0.0)
            total += (weights @ pairs.flatten(1)).view_as(total)
        return _with_edges(p, words, total)


def _with_edges(potentials: Potentials, words: Tensor, pairs: Tensor) -> Expectations:
    """Add what start and end scores expect: the marginals of the first and the last words."""
    used = as_array(words)
    first, last = (used[0], used[potentials.last]) if len(used) else (used.sum(0), used.sum(0))
    edges = namespace(used).concatenate((first.sum(0), last.sum(0)))
    return Expectations(words, torch.cat((pairs.flatten(), as_tensor(edges))))
