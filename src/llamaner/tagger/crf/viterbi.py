"""The best path of each sentence (Viterbi 1967).

Each sentence is read from both ends at once, as two sides of one batch, which meet in the middle:
half the steps. Backpointers are not stored: on the way back only the tags on the path are asked
for their best predecessor.
"""

import torch

from llamaner.tagger.crf.arrays import Array, as_array, as_tensor, namespace, silent, take_rows
from llamaner.tagger.crf.potentials import split_scores

PADDING = -1


@silent
def best_paths(emissions: Array, scores: Array, mask: Array) -> tuple[Array, Array]:
    """Viterbi paths (sentences, words), padded with -1, and their scores (sentences)."""
    xp, (sentences, words, tags) = namespace(mask), emissions.shape
    if not sentences * words:
        return xp.where(mask, 0, PADDING), xp.zeros_like(mask.sum(1), dtype=scores.dtype)
    sides = FullSides(mask) if mask.all() else RaggedSides(mask)
    start, transitions, end = split_scores(scores, tags)
    shape = (words // 2 + 1, 2, tags, sentences)  # a step works on contiguous sentences
    best = xp.empty(shape, dtype=scores.dtype, device=mask.device)
    best[:, 0] = emissions[:, : len(best)].swapaxes(0, 1).mT
    best[:, 1] = sides.reverse(emissions)[:, : len(best)].swapaxes(0, 1).mT
    sides.clear_meeting(best)
    best[0] += xp.concatenate((start, end)).reshape(2, tags, 1)
    _max_sums(best, transitions)
    whole = sides.at_meeting(best)
    middle = whole.argmax(1)
    path_scores = whole[xp.arange(sentences, device=mask.device), middle]
    return sides.join(_walk_back(best, sides, middle, transitions)), path_scores


class FullSides:
    """Both sides of sentences of one length, without padding.

    They meet at one word, whose emission the left side has.
    """

    def __init__(self, mask: Array) -> None:
        self.xp, (self.sentences, self.words) = namespace(mask), mask.shape
        self.earliest = (self.words - 1) // 2
        """The first step at which a side is at its end."""
        ends = self.xp.arange(self.words - 1, self.words + 1, device=mask.device)
        self.meeting = ends[:, None] // 2
        """(2, sentences or 1): the last step of each side."""

    def reverse(self, values: Array) -> Array:
        """``values`` (sentences, words, ...) from the last word to the first."""
        return self.xp.fliplr(values)

    def clear_meeting(self, best: Array) -> None:
        """Set 0 where the right side comes to its last word."""
        best[self.words // 2, 1] = 0.0

    def at_meeting(self, best: Array) -> Array:
        """(sentences, tags): the best path through each tag of the word of the meeting."""
        return (best[self.earliest, 0] + best[self.words // 2, 1]).T

    def join(self, found: Array) -> Array:
        """(sentences, words) from tags ``found`` (steps, 2 sides, sentences)."""
        cut = self.words - self.words // 2
        paths = self.xp.empty((self.sentences, self.words), dtype=found.dtype, device=found.device)
        paths[:, :cut] = found[:cut, 0].T
        paths[:, cut:] = self.xp.flipud(found[: self.words // 2, 1]).T
        return paths


class RaggedSides:
    """Both sides of sentences of any lengths; see `FullSides`."""

    def __init__(self, mask: Array) -> None:
        self.mask, self.xp, (sentences, words) = mask, namespace(mask), mask.shape
        lengths = mask.sum(1)
        self.meeting = self.xp.stack((lengths - 1, lengths)).clip(0) // 2
        self.earliest = int(self.meeting.min())
        self.each = self.xp.arange(sentences, device=mask.device)
        self.position = self.xp.arange(words, device=mask.device)
        self.from_end = lengths[:, None] - 1 - self.position

    def reverse(self, values: Array) -> Array:
        """Sentence by sentence; padding repeats the first word."""
        sentences, words, tags = values.shape
        rows = self.each[:, None] * words + self.from_end.clip(0)
        return take_rows(values.reshape(sentences * words, tags), rows)

    def clear_meeting(self, best: Array) -> None:
        """See `FullSides`."""
        best[self.meeting[1], 1, :, self.each] = 0.0

    def at_meeting(self, best: Array) -> Array:
        """See `FullSides`; 0 for an empty sentence."""
        left, right = (best[self.meeting[side], side, :, self.each] for side in (0, 1))
        return self.xp.where(self.mask[:, :1], left + right, 0.0)

    def join(self, found: Array) -> Array:
        """See `FullSides`; -1 at padding."""
        step = self.xp.minimum(self.position, self.from_end).clip(0)
        row = 2 * step + (self.from_end < self.position)
        joined = take_rows(found.reshape(-1), row * len(self.each) + self.each[:, None])
        return self.xp.where(self.mask, joined, PADDING)


def _max_sums(best: Array, transitions: Array) -> None:
    """Turn words (steps, 2 sides, tags, sentences) into best scores of paths from that side.

    The tag before comes first in the sums: a maximum over contiguous vectors is several times
    faster than one within them. At this size PyTorch is the faster one, on the CPU too.
    """
    xp, (_, _, tags, sentences) = namespace(best), best.shape
    both = xp.concatenate((transitions, transitions.T)).reshape(2, tags, tags, 1)
    arrivals = as_tensor(both)  # side, tag before, tag after, 1
    sums = arrivals.new_empty(2, tags, tags, sentences)
    highest = arrivals.new_empty(2, tags, sentences)
    running, before = as_array(highest), highest.unsqueeze(2)
    running[:] = best[0]
    for word in best[1:]:
        torch.add(before, arrivals, out=sums)
        torch.amax(sums, 1, out=highest)
        running += word
        word[:] = running


def _walk_back(
    best: Array, sides: FullSides | RaggedSides, middle: Array, transitions: Array
) -> Array:
    """(steps, 2 sides, sentences): the tags of the best paths, backwards from ``middle``.

    A side whose meeting is at an earlier step waits there.
    """
    xp, tags = namespace(best), len(transitions)
    arrivals = xp.concatenate((transitions.T, transitions))  # side x tag after, tag before
    side = xp.arange(0, 2 * tags, tags, device=best.device)[:, None]
    found = xp.empty((len(best), 2, len(middle)), dtype=middle.dtype, device=best.device)
    found[-1] = current = begin = middle + side
    befores = xp.empty_like(best).reshape(len(best), 2, len(middle), tags)
    befores[:] = best.mT  # a copy: single steps are slower to turn
    for t in range(len(best) - 2, -1, -1):
        candidates = take_rows(arrivals, current)
        candidates += befores[t]
        current = candidates.argmax(-1)
        current += side
        if t >= sides.earliest:
            current = xp.where(t < sides.meeting, current, begin)
        found[t] = current
    found -= side
    return found
