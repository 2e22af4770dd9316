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
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

LARGEST_EXPONENT = 300.0
"""Less than half of what float64 holds (log 1.8e308 = 709): alpha and beta are multiplied."""
LONGEST_PERIOD = 32


@dataclass(frozen=True)
class Potentials:
    """The scores of one batch in float64; -inf marks what the constraints forbid."""

    words: Tensor
    """(words, sentences, tags): emissions, 0 at padding."""
    scores: Tensor
    """(tags x tags + 2 x tags): transitions row by row, then start, then end scores."""
    mask: Tensor
    """(words, sentences): True at words, False at padding."""

    @cached_property
    def lengths(self) -> Tensor:
        """(sentences)"""
        return self.mask.sum(0)

    @cached_property
    def last(self) -> tuple[Tensor, Tensor]:
        """Index of each sentence's last word (sentences), (sentences); an empty one's is word 0."""
        sentences = torch.arange(self.mask.shape[1], device=self.mask.device)
        return (self.lengths - 1).clamp_min(0), sentences

    @cached_property
    def highest(self) -> Tensor:
        """(words, sentences): the best emission."""
        return self.words.amax(-1)

    @property
    def start(self) -> Tensor:
        """(tags)"""
        return split_scores(self.scores, self.words.shape[-1])[0]

    @property
    def transitions(self) -> Tensor:
        """(tags, tags): from row to column."""
        return split_scores(self.scores, self.words.shape[-1])[1]

    @property
    def end(self) -> Tensor:
        """(tags)"""
        return split_scores(self.scores, self.words.shape[-1])[2]


def split_scores(scores: Tensor, tags: int) -> tuple[Tensor, Tensor, Tensor]:
    """Start (tags), transition (tags, tags) and end scores (tags) of `Potentials.scores`."""
    square = tags * tags
    return scores[square : square + tags], scores[:square].view(tags, tags), scores[square + tags :]


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


def working_dtype(device: torch.device) -> torch.dtype:
    """float64 wherever the device has it (Apple's MPS does not)."""
    return torch.float32 if device.type == "mps" else torch.float64


def make_potentials(emissions: Tensor, scores: Tensor, mask: Tensor) -> Potentials:
    """Potentials from ``emissions`` (sentences, words, tags) and ``mask`` (sentences, words)."""
    dtype = working_dtype(emissions.device)
    by_word = mask.T
    words = emissions.detach().transpose(0, 1).to(dtype, memory_format=torch.contiguous_format)
    if not bool(mask.all()):
        words = words.masked_fill(~by_word[..., None], 0.0)
    return Potentials(words, scores.detach(), by_word)


def scaling_period(potentials: Potentials, mixing: int) -> int:
    """How many steps probabilities may go without scaling; 0 where they need logarithms.

    Let a step's scores (transition and emission) spread over R at most. Every usable tag reaches
    every other in ``mixing`` steps, so two messages of one word differ by a factor of at most
    (K exp R)^mixing, and n unscaled steps shrink them by at most (K exp R)^n. As long as
    (n + mixing + 1) (R + log K) stays below `LARGEST_EXPONENT`, nothing underflows.
    """
    words, scores = potentials.words, potentials.scores
    if words.dtype != torch.float64 or words.numel() == 0:
        return 0
    lowest = scores.masked_fill(scores == -torch.inf, torch.inf).min()
    spread = (potentials.highest - words.amin(-1)).max() + scores.max() - lowest
    step = spread.item() + math.log(words.shape[-1])
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

    def __init__(self, potentials: Potentials, period: int) -> None:
        self.potentials, tags = potentials, potentials.words.shape[-1]
        self.order = _both_directions(potentials.mask)
        self.top = potentials.scores.max()
        start, self.step, end = split_scores((potentials.scores - self.top).exp_(), tags)
        likelihoods = (potentials.words - potentials.highest[..., None]).exp_()
        # after: with the word's emission, whose place it takes; before: without.
        self.after = take_rows(likelihoods, self.order)
        self.before = torch.empty_like(self.after)
        self.before[:1] = torch.stack((start, end))[:, None]
        self.scale = likelihoods.new_ones(*self.after.shape[:-1], 1)
        self._run(period)
        final = self.after[:, 0][potentials.last] if len(self.after) else self.after.sum((0, 1))
        self.log_z = self._log_partition(final @ end)

    def _run(self, period: int) -> None:
        befores, afters = self.before.unbind(0), self.after.unbind(0)
        steps = torch.stack((self.step, self.step.T))
        for t, (before, after) in enumerate(zip(befores, afters, strict=True)):
            if t:
                torch.bmm(afters[t - 1], steps, out=before)
            after.mul_(before)
            if t % period == period - 1:
                scale = self.scale[t]
                torch.sum(after, -1, keepdim=True, out=scale)
                after.div_(scale.clamp_min_(1e-300))  # 0 only where partial labels allow no path

    def _log_partition(self, final: Tensor) -> Tensor:
        p = self.potentials
        gained = self.scale[:, 0, :, 0].log() + p.highest + self.top
        log_z = final.log() + (gained * p.mask).sum(0) + self.top
        return log_z.masked_fill(p.lengths == 0, 0.0)

    def _offsets(self) -> Tensor:
        """(words, 2 directions, sentences): what was divided out, up to and with each word."""
        highest = take_rows(self.potentials.highest, self.order)
        return (highest + self.scale[..., 0].log() + self.top).cumsum(0)

    def alpha(self) -> Tensor:
        """(words, sentences, tags): see `Messages`."""
        return self.after[:, 0].log() + self._offsets()[:, 0, :, None]

    def beta(self) -> Tensor:
        """(words, sentences, tags): see `Messages`."""
        offsets = self._offsets()[:, 1].roll(1, 0)
        offsets[:1] = 0.0
        offsets = take_rows(offsets + self.top, self.order[:, 1])[..., None]
        return second_direction(self.before, self.order).log() + offsets

    def expectations(self, weights: Tensor) -> Expectations:
        """Weighted expected counts: see `Messages`. Each word's factor cancels in a division."""
        alpha, mask = self.after[:, 0], self.potentials.mask[..., None]
        words = second_direction(self.before, self.order).mul_(alpha)
        factor = torch.where(mask, weights[:, None] / words.sum(-1, keepdim=True), 0.0)
        words.mul_(factor)
        left = alpha[:-1] * torch.where(mask[1:], factor[:-1], 0.0)
        right = second_direction(self.after, self.order)[1:]
        pairs = (left.flatten(0, 1).T @ right.flatten(0, 1)).mul_(self.step)
        return _with_edges(self.potentials, words, pairs)


class LogMessages:
    """Messages as logarithms: right at any size of score. Axes as in `ScaledMessages`."""

    def __init__(self, potentials: Potentials) -> None:
        self.potentials = p = potentials
        self.order = _both_directions(p.mask)
        self.after = take_rows(p.words, self.order)
        self.before = torch.empty_like(self.after)
        self.before[:1] = torch.stack((p.start, p.end))[:, None]
        steps = torch.stack((p.transitions, p.transitions.T))[:, None]
        for t in range(len(self.after)):
            if t:
                self.before[t] = (self.after[t - 1, ..., None] + steps).logsumexp(-2)
            self.after[t] += self.before[t]
        final = self.after[:, 0][p.last] if len(self.after) else self.after.sum((0, 1))
        self.log_z = (final + p.end).logsumexp(-1).masked_fill(p.lengths == 0, 0.0)

    def alpha(self) -> Tensor:
        """(words, sentences, tags): see `Messages`."""
        return self.after[:, 0]

    def beta(self) -> Tensor:
        """(words, sentences, tags): see `Messages`."""
        return second_direction(self.before, self.order)

    def expectations(self, weights: Tensor) -> Expectations:
        """Weighted expected counts: see `Messages`. Pairs go word by word, to save memory."""
        p, alpha = self.potentials, self.alpha()
        words = (alpha + self.beta() - self.log_z[:, None]).exp() * weights[:, None]
        words = words.masked_fill(~p.mask[..., None], 0.0)
        right = second_direction(self.after, self.order) - self.log_z[:, None]
        total = torch.zeros_like(p.transitions)
        for t in range(1, len(words)):
            pairs = (alpha[t - 1, :, :, None] + p.transitions + right[t, :, None]).exp()
            pairs = pairs.masked_fill(~p.mask[t, :, None, None], 0.0)
            total += (weights @ pairs.flatten(1)).view_as(total)
        return _with_edges(p, words, total)


def take_rows(values: Tensor, rows: Tensor) -> Tensor:
    """Row ``rows`` (any shape) of ``values`` (words, sentences, ...), words x sentences counted."""
    taken = values.flatten(0, 1).index_select(0, rows.flatten())
    return taken.view(*rows.shape, *values.shape[2:])


def second_direction(messages: Tensor, order: Tensor) -> Tensor:
    """Backward messages of (words, 2 directions, sentences, tags), in the order of the text."""
    sentences = messages.shape[2]
    rows = order[:, 1] + order[:, 1].div(max(1, sentences), rounding_mode="floor") * sentences
    taken = messages.flatten(0, 2).index_select(0, rows.add_(sentences).flatten())
    return taken.view(*rows.shape, messages.shape[3])


def _both_directions(mask: Tensor) -> Tensor:
    """(words, 2 directions, sentences): row of (words x sentences) that is read at each step.

    The second direction reverses each sentence in place, padding stays behind it. Reversing twice
    gives the text again, so the same rows bring backward messages into the order of the text.
    """
    count, sentences = mask.shape
    position = torch.arange(count, device=mask.device)[:, None]
    backwards = torch.where(mask, mask.sum(0) - 1 - position, position)
    source = torch.stack((position.expand_as(mask), backwards), 1)
    return source * sentences + torch.arange(sentences, device=mask.device)


def _with_edges(potentials: Potentials, words: Tensor, pairs: Tensor) -> Expectations:
    """Add what start and end scores expect: the marginals of the first and the last words."""
    start = words[:1].sum((0, 1))
    end = words[potentials.last].sum(0) if len(words) else start
    return Expectations(words, torch.cat((pairs.flatten(), start, end)))
