"""The scores of one batch, in the type that the recursions work in."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from llamaner.tagger.crf.arrays import Array, as_array, as_tensor, namespace, take_rows


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
        return as_tensor(as_array(self.mask).sum(0))

    @cached_property
    def last(self) -> tuple[Array, Array]:
        """Index of each sentence's last word (sentences), (sentences); an empty one's is word 0."""
        lengths = as_array(self.lengths)
        sentences = namespace(lengths).arange(len(lengths), device=lengths.device)
        return (lengths - 1).clip(0), sentences

    @cached_property
    def highest(self) -> Array:
        """(words, sentences): the best emission."""
        return as_array(self.words.amax(-1))

    @cached_property
    def relative(self) -> Array:
        """(words, sentences, tags): emissions below the best one."""
        return as_array(self.words) - self.highest[..., None]

    @cached_property
    def backwards(self) -> Array | None:
        """(words, sentences): the row of words x sentences that each word takes in `reverse`.

        None without padding, where no row has to be looked up.
        """
        mask = as_array(self.mask)
        if mask.all():
            return None
        xp, (count, sentences) = namespace(mask), mask.shape
        position = xp.arange(count, device=mask.device)[:, None]
        source = xp.where(mask, mask.sum(0) - 1 - position, position)
        return source * sentences + xp.arange(sentences, device=mask.device)

    def reverse(self, values: Array) -> Array:
        """``values`` (words, sentences, ...) with each sentence reversed, padding still behind."""
        if self.backwards is None:
            return namespace(values).flipud(values)
        rows = as_tensor(self.backwards) if isinstance(values, Tensor) else self.backwards
        return take_rows(values.reshape(-1, *values.shape[2:]), rows)

    @cached_property
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Start (tags), transition (tags, tags) and end scores (tags)."""
        return split_scores(self.scores, self.words.shape[-1])

    @property
    def start(self) -> Tensor:
        """(tags)"""
        return self.parts[0]

    @property
    def transitions(self) -> Tensor:
        """(tags, tags): from row to column."""
        return self.parts[1]

    @property
    def end(self) -> Tensor:
        """(tags)"""
        return self.parts[2]


def split_scores(scores: Array, tags: int) -> tuple[Array, Array, Array]:
    """Start (tags), transition (tags, tags) and end scores (tags) of `Potentials.scores`."""
    square = tags * tags
    transitions = scores[:square].reshape(tags, tags)
    return scores[square : square + tags], transitions, scores[square + tags :]


def working_dtype(like: Array) -> Any:
    """float64 wherever the device of ``like`` has it (Apple's MPS does not)."""
    xp = namespace(like)
    return xp.float32 if str(like.device).startswith("mps") else xp.float64


def make_potentials(emissions: Tensor, scores: Array, mask: Array) -> Potentials:
    """Potentials from ``emissions`` (sentences, words, tags) and ``mask`` (sentences, words)."""
    sentences, count, tags = emissions.shape
    xp, shape = namespace(scores), (count, sentences, tags)
    words = xp.empty(shape, dtype=scores.dtype, device=mask.device)
    words[:] = as_array(emissions).swapaxes(0, 1)
    if not mask.all():
        words[~mask.T] = 0.0
    return Potentials(as_tensor(words), as_tensor(scores), as_tensor(mask.T))
