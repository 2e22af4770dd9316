"""A linear-chain conditional random field (Lafferty, McCallum & Pereira 2001): exact and batched.

A path y of tags over the words of a sentence scores

    s(y) = start[y_0] + sum_t emissions[t, y_t] + sum_t transitions[y_t, y_{t+1}] + end[y_last]

and has the probability exp(s(y) - log Z). Paths against the scheme's hard constraints have
probability 0, in training as in decoding. See docs/crf.md for equations and measurements.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from llamaner.tagger.crf.arrays import Array, as_array, as_tensor, namespace
from llamaner.tagger.crf.checks import (
    UNKNOWN_TAG,
    check_batch,
    check_tags,
    refuse_forbidden,
    refuse_impossible,
)
from llamaner.tagger.crf.constraints import Scheme, build_constraints
from llamaner.tagger.crf.entities import EntityPlace, entity_log_probability, guess_scheme
from llamaner.tagger.crf.forward_backward import Messages, pass_messages, scaling_period
from llamaner.tagger.crf.likelihood import (
    Clamped,
    GoldPath,
    gold_steps,
    log_ratio,
    result_dtype,
)
from llamaner.tagger.crf.paths import k_best_paths, sample_paths
from llamaner.tagger.crf.potentials import (
    Potentials,
    make_potentials,
    split_scores,
    working_dtype,
)
from llamaner.tagger.crf.viterbi import best_paths

__all__ = ["UNKNOWN_TAG", "EntityPlace", "KBest", "LinearChainCRF", "Marginals"]


@dataclass(frozen=True)
class Marginals:
    """Probabilities of tags and of pairs of tags; 0 at padding."""

    tags: Tensor
    """(B, T, K): the word has the tag."""
    transitions: Tensor
    """(B, T - 1, K, K): the word has the row's tag and the next word the column's."""


@dataclass(frozen=True)
class KBest:
    """The best paths of each sentence, best first."""

    paths: Tensor
    """(B, k, T): tags, -1 at padding and where a sentence has fewer than k paths."""
    scores: Tensor
    """(B, k): s(y), -inf where a sentence has fewer than k paths."""


class LinearChainCRF(nn.Module):
    """A CRF over ``tags``. Shapes: B sentences, T words (the longest, with padding), K tags.

    ``emissions`` (B, T, K) may have any floating-point type. The recursions run in float64, and
    results come back in float64 for float64 emissions, in float32 for all others.
    ``mask`` (B, T) is boolean: True at words, then False at padding; a sentence may be empty.
    What emissions hold at padding, NaN included, changes nothing.
    """

    start: nn.Parameter
    """(K): score of opening a sentence."""
    transitions: nn.Parameter
    """(K, K): score of the row's tag before the column's."""
    end: nn.Parameter
    """(K): score of closing a sentence."""
    forbidden: Tensor
    """(K x K + 2 x K): in the order of `Potentials.scores`."""
    step_index: Tensor
    """(K + 2, K + 2): where the score of a step stands, K being an edge and K + 1 unknown."""

    def __init__(self, tags: Sequence[str], *, constraints: Scheme | None = "BIOES") -> None:
        super().__init__()
        allowed, count = build_constraints(tags, constraints), len(tags)
        self.tags = tuple(tags)
        self.constraints = constraints
        self.start = nn.Parameter(torch.empty(count))
        self.transitions = nn.Parameter(torch.empty(count, count))
        self.end = nn.Parameter(torch.empty(count))
        flat = torch.cat((allowed.transitions.flatten(), allowed.start, allowed.end))
        self.register_buffer("forbidden", ~flat, persistent=False)
        self.register_buffer("step_index", _step_index(count), persistent=False)
        self._mixing = allowed.mixing
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all scores uniformly from -0.1 to 0.1."""
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        return f"{len(self.tags)} tags, constraints={self.constraints!r}"

    def log_likelihood(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Log-probability (B) of the gold ``tags`` (B, T); the negative is the training loss.

        Words tagged `UNKNOWN_TAG` are summed over: the result is the log-probability of all the
        paths that agree with the known tags (Tsuboi et al. 2008). Padding may hold any tag.
        """
        potentials = self._prepare(emissions, mask)
        partial = check_tags(tags, mask, len(self.tags))
        inside, gold = as_array(mask), as_array(tags)
        scores, index = as_array(potentials.scores), as_array(self.step_index)
        steps = gold_steps(gold, inside, scores, index)
        names = (*self.tags, "the sentence's edge", "?")
        refuse_forbidden(steps.scores, steps.names, names, self.constraints)
        period = scaling_period(potentials, self._mixing)
        some: GoldPath | Clamped
        if partial:
            some = Clamped(self._clamp(potentials, as_tensor(steps.names)), period)
            refuse_impossible(some.log_sum, steps.names, names, self.constraints)
        else:
            some = GoldPath(potentials, namespace(gold).where(inside, gold, 0), steps)
        return self._log_ratio(emissions, pass_messages(potentials, period), some)

    def log_partition(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Log Z (B); its gradient with respect to ``emissions`` are the marginals."""
        return -self._log_ratio(emissions, self._messages(emissions, mask)[1], None)

    @torch.no_grad()
    def marginals(self, emissions: Tensor, mask: Tensor) -> Marginals:
        """Probability of each tag at each word, and of each pair of neighbouring tags."""
        potentials, messages = self._messages(emissions, mask)
        alpha, beta = messages.alpha(), messages.beta() - messages.log_z[:, None]
        onward = (potentials.words + beta)[1:, :, None]
        pairs = (alpha[:-1, ..., None] + potentials.transitions + onward).exp_()
        single = (alpha + beta).exp_().masked_fill_(~potentials.mask[..., None], 0.0)
        pairs.masked_fill_(~potentials.mask[1:, :, None, None], 0.0)
        dtype = result_dtype(emissions)
        return Marginals(single.transpose(0, 1).to(dtype), pairs.transpose(0, 1).to(dtype))

    def viterbi(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """The most probable tags (B, T), -1 at padding, on the device of ``emissions``."""
        return as_tensor(self._best_paths(emissions, mask)[0])

    def viterbi_with_scores(self, emissions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The most probable tags (B, T), -1 at padding, and their scores s(y) (B)."""
        paths, scores = map(as_tensor, self._best_paths(emissions, mask))
        return paths, scores.to(result_dtype(emissions))

    @torch.no_grad()
    def k_best(self, emissions: Tensor, mask: Tensor, k: int) -> KBest:
        """The ``k`` most probable paths of each sentence, exactly."""
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        paths, scores = k_best_paths(self._prepare(emissions, mask), k)
        return KBest(paths, scores.to(result_dtype(emissions)))

    @torch.no_grad()
    def entity_confidence(
        self, emissions: Tensor, mask: Tensor, entities: Sequence[tuple[int, int, int, str]]
    ) -> Tensor:
        """Probability (N) that exactly each of N entities stands there, no longer and no shorter.

        ``entities`` are (sentence, first word, last word inclusive, label), of the whole batch.
        Without constraints, tags are read as BIOES where there are E- or S- tags, else as BIO.
        """
        potentials, messages = self._messages(emissions, mask)
        named = [EntityPlace(*entity) for entity in entities]
        scheme = self.constraints or guess_scheme(self.tags)
        log_probability = entity_log_probability(potentials, messages, named, self.tags, scheme)
        return log_probability.exp().clamp_max(1.0).to(result_dtype(emissions))

    @torch.no_grad()
    def sample(
        self,
        emissions: Tensor,
        mask: Tensor,
        n: int,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """``n`` independent paths of each sentence (B, n, T), -1 at padding."""
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        potentials, messages = self._messages(emissions, mask)
        return sample_paths(potentials, messages, n, generator)

    def _scores(self) -> Array:
        """(K x K + 2 x K): in the order of `Potentials.scores`, -inf where forbidden."""
        forbidden, count = as_array(self.forbidden), len(self.tags)
        xp, dtype = namespace(forbidden), working_dtype(forbidden)
        scores = xp.empty(len(forbidden), dtype=dtype, device=forbidden.device)
        start, transitions, end = split_scores(scores, count)
        start[:], end[:] = as_array(self.start), as_array(self.end)
        transitions[:] = as_array(self.transitions)
        if self.constraints is not None:
            scores[forbidden] = -torch.inf
        return scores

    @torch.no_grad()
    def _best_paths(self, emissions: Tensor, mask: Tensor) -> tuple[Array, Array]:
        check_batch(emissions, mask, len(self.tags))
        return best_paths(as_array(emissions), self._scores(), as_array(mask))

    def _prepare(self, emissions: Tensor, mask: Tensor) -> Potentials:
        """Potentials of a batch that was checked."""
        check_batch(emissions, mask, len(self.tags))
        return make_potentials(emissions, self._scores(), as_array(mask))

    def _messages(self, emissions: Tensor, mask: Tensor) -> tuple[Potentials, Messages]:
        potentials = self._prepare(emissions, mask)
        return potentials, pass_messages(potentials, scaling_period(potentials, self._mixing))

    def _log_ratio(
        self, emissions: Tensor, everything: Messages, some: GoldPath | Clamped | None
    ) -> Tensor:
        return log_ratio(emissions, (self.start, self.transitions, self.end), everything, some)

    def _clamp(self, potentials: Potentials, path: Tensor) -> Potentials:
        """Emissions of -inf wherever a tag contradicts a known one in ``path`` (B, T + 2)."""
        gold = path[:, 1:-1].T[..., None]
        others = gold != torch.arange(len(self.tags), device=path.device)
        clamped = potentials.words.masked_fill((gold < len(self.tags)) & others, -torch.inf)
        return Potentials(clamped, potentials.scores, potentials.mask)


def _step_index(count: int) -> Tensor:
    """(K + 2, K + 2): places of transition, start and end scores in their flat order; else 0's."""
    square, nothing = count * count, count * count + 2 * count
    index = torch.full((count + 2, count + 2), nothing)
    index[:count, :count] = torch.arange(square).view(count, count)
    index[count, :count] = torch.arange(square, square + count)
    index[:count, count] = torch.arange(square + count, nothing)
    return index
