"""Paths through a linear-chain CRF: the best, the k best, and random ones.

Everything is batched and stays on the device: no Python list is walked, nothing is copied to the
host. Scores are float64; what the constraints forbid is -inf.
"""

import torch
from torch import Tensor

from llamaner.tagger.crf.forward_backward import (
    Messages,
    Potentials,
    split_scores,
)

PADDING = -1
NEVER = -1e30
"""Stands for -inf in Viterbi, where a large bonus is added to it; no score comes near it."""


def best_paths(emissions: Tensor, scores: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Viterbi paths (sentences, words), padded with -1, and their scores (sentences).

    Each sentence is cut in the middle and read from both ends at once, as two rows of one batch:
    half the steps. Backpointers are not stored: on the way back only the tags on the path are
    asked for their best predecessor.
    """
    sentences, count = mask.shape
    if not mask.numel():
        return mask.long(), scores.new_zeros(sentences)
    lengths = mask.sum(1)
    start, transitions, end = split_scores(scores.clamp_min(NEVER), emissions.shape[2])
    best = _words_from_both_ends(emissions, lengths).to(scores.dtype)
    best[0] += torch.stack((start, end))[:, None]
    _max_sums(best, transitions)
    halves = torch.stack(((lengths + 1) // 2, lengths // 2))  # words of the left and right rows
    reached = best.flatten(1, 2)[_last_step(halves)]
    left, right = reached[:sentences], reached[sentences:]
    onward = (transitions + right[:, None]).amax(2)
    onward = torch.where((lengths > 1)[:, None], onward, end)
    path_scores, left_tag = (left + onward).max(1)
    right_tag = (transitions[left_tag] + right).argmax(1)
    tags = _walk_back(best, halves, torch.stack((left_tag, right_tag)), transitions)
    paths = _join_halves(tags, lengths, count).masked_fill(~mask, PADDING)
    return paths, path_scores.masked_fill(lengths == 0, 0.0)


def _words_from_both_ends(emissions: Tensor, lengths: Tensor) -> Tensor:
    """(steps, 2 sides, sentences, tags): words from the left and, reversed, from the right."""
    sentences, count, tags = emissions.shape
    position = torch.arange((count + 1) // 2, device=lengths.device)[:, None]
    last = (lengths - 1).clamp_min_(0)
    source = torch.stack((torch.minimum(position, last), (last - position).clamp_min_(0)), 1)
    source += torch.arange(0, sentences * count, count, device=lengths.device)
    words = emissions.flatten(0, 1).index_select(0, source.flatten())
    return words.view(-1, 2, sentences, tags)


def _last_step(halves: Tensor) -> tuple[Tensor, Tensor]:
    """Index of each row's last word in (steps, rows)."""
    return (halves.flatten() - 1).clamp_min(0), torch.arange(halves.numel(), device=halves.device)


def _max_sums(best: Tensor, transitions: Tensor) -> None:
    """Turn words (steps, 2 sides, sentences, tags) into best scores of paths from that side.

    The tag before is the first axis of the sums: a maximum over contiguous vectors is several
    times faster than one within them.
    """
    _, sides, sentences, tags = best.shape
    arrivals = torch.stack((transitions, transitions.T), 1)[:, :, None]  # before, side, 1, tag
    sums = best.new_empty(tags, sides, sentences, tags)
    highest = best.new_empty(sides, sentences, tags)
    words = best[1:].unbind(0)
    befores = best[:-1].permute(0, 3, 1, 2)[..., None].unbind(0)  # before, side, sentence, 1
    for before, word in zip(befores, words, strict=True):
        torch.add(before, arrivals, out=sums)
        torch.amax(sums, 0, out=highest)
        word.add_(highest)


def _walk_back(best: Tensor, halves: Tensor, last: Tensor, transitions: Tensor) -> Tensor:
    """(steps, rows): the tags of the best paths to ``last`` (2 sides, sentences), side by side.

    Rows end at different steps. From its last word on, a row's ``last`` tag is made to outweigh
    everything, so that the loop needs no case for rows that have not begun. Overwrites ``best``.
    """
    steps, _, sentences, count = best.shape
    beyond = torch.arange(steps, device=best.device)[:, None, None] >= halves - 1
    bonus = beyond.to(best.dtype).mul_(-8 * NEVER)
    best.scatter_add_(3, last.expand(steps, -1, -1)[..., None], bonus[..., None])
    arrivals = torch.cat((transitions.T, transitions))  # side x tag after, tag before
    offset = torch.tensor([[0], [count]], device=best.device).expand(2, sentences).flatten()
    tags = last.new_empty(steps, 2 * sentences)
    tags[-1] = last.flatten()
    current = tags[-1] + offset
    arrival = best.new_empty(2 * sentences, count)
    befores, founds = best.flatten(1, 2)[:-1].unbind(0), tags[:-1].unbind(0)
    for scores, found in zip(reversed(befores), reversed(founds), strict=True):
        torch.index_select(arrivals, 0, current, out=arrival)
        torch.argmax(arrival.add_(scores), 1, out=found)
        torch.add(found, offset, out=current)
    return tags


def _join_halves(tags: Tensor, lengths: Tensor, count: int) -> Tensor:
    """(sentences, words) from ``tags`` (steps, 2 x sentences); anything at padding."""
    steps, rows = tags.shape
    position = torch.arange(count, device=tags.device)
    from_end = lengths[:, None] - 1 - position
    in_left = position <= from_end
    step = torch.where(in_left, position, from_end).clamp(0, steps - 1)
    row = torch.arange(rows // 2, device=tags.device)[:, None]
    return tags[step, torch.where(in_left, row, row + rows // 2)]


def k_best_paths(potentials: Potentials, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` best paths (sentences, k, words) and their scores (sentences, k), best first.

    Viterbi with the k best beginnings kept per tag, which is exact. Where a sentence has fewer
    than k paths, the rest score -inf and are all -1.
    """
    words, mask = potentials.words, potentials.mask
    count, sentences, tags = words.shape
    best = words.new_full((sentences, tags, k), -torch.inf)
    best[:, :, 0] = potentials.start if not count else potentials.start + words[0]
    unmoved = torch.arange(tags * k, device=words.device).expand(sentences, -1)
    pointers = []
    for t in range(1, count):
        sums = best[..., None] + potentials.transitions[:, None, :]  # sentence, from, rank, to
        found, source = sums.flatten(1, 2).transpose(1, 2).topk(k, -1)  # sentence, to, rank
        inside = mask[t, :, None, None]
        best = torch.where(inside, found + words[t, :, :, None], best)
        pointers.append(torch.where(inside[..., 0], source.flatten(1), unmoved))
    scores, state = (best + potentials.end[:, None]).flatten(1).topk(k, -1)
    paths = _follow(pointers, state, k, count)
    paths = paths.masked_fill(~mask.T[:, None] | (scores == -torch.inf)[..., None], PADDING)
    only_empty = scores.new_full((k,), -torch.inf).index_fill_(0, scores.new_zeros(1).long(), 0.0)
    return paths, torch.where((potentials.lengths == 0)[:, None], only_empty, scores)


def _follow(pointers: list[Tensor], state: Tensor, k: int, count: int) -> Tensor:
    """Tags (sentences, k, words) on the way back from ``state`` (sentences, k): tag x k + rank."""
    states = [state]
    for pointer in reversed(pointers):
        states.append(pointer.gather(1, states[-1]))
    return torch.stack(states[::-1], -1)[..., :count] // k


def sample_paths(
    potentials: Potentials, messages: Messages, n: int, generator: torch.Generator | None
) -> Tensor:
    """``n`` paths a sentence (sentences, n, words), each with its own probability.

    Word by word: given the tag before, the next has the probability of all the paths through it
    (backward filtering, forward sampling; Chib 1996 with time reversed).
    """
    words, mask = potentials.words, potentials.mask
    count, sentences, _ = words.shape
    onward = words + messages.beta()
    paths = torch.full((count, n, sentences), PADDING, device=words.device)
    current = None
    for t in range(count):
        arrival = potentials.start if current is None else potentials.transitions[current]
        logits = (arrival + onward[t]).expand(n, sentences, -1)
        logits = logits.masked_fill(~mask[t, :, None], 0.0)
        drawn = torch.multinomial(logits.softmax(-1).flatten(0, 1), 1, generator=generator)
        current = drawn.view(n, sentences)
        paths[t] = current.masked_fill(~mask[t], PADDING)
    return paths.permute(2, 1, 0)
