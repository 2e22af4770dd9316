"""More paths through a linear-chain CRF: the k best, and random ones.

Everything is batched and stays on the device: no Python list is walked, nothing is copied to the
host. Scores are float64; what the constraints forbid is -inf.
"""

import torch
from torch import Tensor

from llamaner.tagger.crf.forward_backward import Messages
from llamaner.tagger.crf.potentials import Potentials
from llamaner.tagger.crf.viterbi import PADDING


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
