"""The best path of each sentence (Viterbi 1967)."""

import torch

from llamaner.tagger.crf.arrays import (
    Array,
    as_array,
    as_tensor,
    empty,
    namespace,
    silent,
    take_rows,
)
from llamaner.tagger.crf.potentials import split_scores

PADDING = -1


@silent
def best_paths(emissions: Array, scores: Array, mask: Array) -> tuple[Array, Array]:
    """Viterbi paths (sentences, words), padded with -1, and their scores (sentences).

    Each sentence is read from both ends at once, as two sides of one batch, which meet in the
    middle: half the steps. Backpointers are not stored: on the way back only the tags on the path
    are asked for their best predecessor.
    """
    xp, (sentences, words, tags) = namespace(mask), emissions.shape
    lengths = mask.sum(1)
    if not sentences * words:
        return xp.where(mask, 0, PADDING), xp.zeros_like(lengths, dtype=scores.dtype)
    start, transitions, end = split_scores(scores, tags)
    # The last step of each side: both come to one word, whose emission the left side has.
    meeting = xp.clip(xp.stack((lengths - 1, lengths)), 0, None) // 2
    each = xp.arange(sentences, device=mask.device)
    best = _words_from_both_ends(emissions, lengths, scores)
    best[meeting[1], 1, :, each] = 0.0
    best[0] += xp.stack((start, end))[..., None]
    _max_sums(best, transitions)
    whole = best[meeting[0], 0, :, each] + best[meeting[1], 1, :, each]
    middle = whole.argmax(1)
    found = _walk_back(best, meeting, middle, transitions)
    paths = xp.where(mask, _join_sides(found, lengths, words), PADDING)
    return paths, xp.where(lengths > 0, whole[each, middle], 0.0)


def _words_from_both_ends(emissions: Array, lengths: Array, like: Array) -> Array:
    """(steps, 2 sides, tags, sentences): words from the left and, reversed, from the right.

    Sentences come last: a step then works on contiguous vectors of sentences.
    """
    xp, (sentences, words, tags) = namespace(lengths), emissions.shape
    steps = words // 2 + 1
    best = empty(steps, 2, tags, sentences, like=like)
    best[:, 0] = emissions[:, :steps].swapaxes(0, 1).mT
    from_end = lengths - 1 - xp.arange(steps, device=lengths.device)[:, None]
    first = xp.arange(0, sentences * words, words, device=lengths.device)
    rows = emissions.reshape(sentences * words, tags)
    best[:, 1] = take_rows(rows, first + xp.clip(from_end, 0, None)).mT
    return best


def _max_sums(best: Array, transitions: Array) -> None:
    """Turn words (steps, 2 sides, tags, sentences) into best scores of paths from that side.

    The tag before comes first in the sums: a maximum over contiguous vectors is several times
    faster than one within them. At this size PyTorch is the faster one, on the CPU too.
    """
    xp, (_, sides, tags, sentences) = namespace(best), best.shape
    arrivals = as_tensor(xp.stack((transitions, transitions.T)))[..., None]  # side, before, tag, 1
    befores = as_tensor(best)[:-1, :, :, None].unbind(0)  # side, before, 1, sentence
    sums = arrivals.new_empty(sides, tags, tags, sentences)
    highest = arrivals.new_empty(sides, tags, sentences)
    added = as_array(highest)
    for before, word in zip(befores, best[1:], strict=True):
        torch.add(before, arrivals, out=sums)
        torch.amax(sums, 1, out=highest)
        word += added


def _walk_back(best: Array, meeting: Array, middle: Array, transitions: Array) -> Array:
    """(steps, 2 sides, sentences): the tags of the best paths, backwards from ``middle``.

    Sides end at different steps; later than ``meeting`` (2 sides, sentences) they just wait.
    """
    xp, tags = namespace(best), len(transitions)
    arrivals = xp.concatenate((transitions.T, transitions))  # side x tag after, tag before
    side = xp.arange(0, 2 * tags, tags, device=best.device)[:, None]
    found = xp.zeros_like(best[:, :, 0], dtype=middle.dtype)
    found[-1] = current = begin = middle + side
    waiting, befores = int(meeting.min()), best.mT
    for t in range(len(best) - 2, -1, -1):
        candidates = take_rows(arrivals, current)
        candidates += befores[t]
        current = candidates.argmax(-1)
        current += side
        if t >= waiting:
            current = xp.where(t < meeting, current, begin)
        found[t] = current
    return found - side


def _join_sides(found: Array, lengths: Array, words: int) -> Array:
    """(sentences, words) from ``found`` (steps, 2 sides, sentences); anything at padding."""
    xp, sentences = namespace(found), len(lengths)
    position = xp.arange(words, device=lengths.device)
    from_end = lengths[:, None] - 1 - position
    is_left = position <= from_end
    step = xp.clip(xp.where(is_left, position, from_end), 0, None)
    row = 2 * step + xp.where(is_left, 0, 1)
    each = xp.arange(sentences, device=lengths.device)[:, None]
    return take_rows(found.reshape(-1), row * sentences + each)
