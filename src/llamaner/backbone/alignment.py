"""Words and subwords, lined up by the character offsets of the text itself.

A tokenizer is never given words: byte-level LLaMA tokenizers lose a pre-split word's leading space
in silence. It is given the text, and says which characters each subword stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from llamaner.configuration import Pooling

if TYPE_CHECKING:
    from llamaner.backbone.passages import Passage

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Subwords:
    """The subwords of one text: ``ids`` (S) and ``offsets`` (S, 2), the characters of each.

    A character that takes several subwords (an emoji in bytes) gives each of them its own offsets.
    """

    ids: IntArray
    offsets: IntArray

    def __len__(self) -> int:
        return len(self.ids)


def subword_ranges(spans: Sequence[tuple[int, int]], offsets: IntArray) -> IntArray:
    """The first and last subword of each word, (T, 2), both inclusive.

    A word's subwords are those that share a character with it. A word that the tokenizer's
    normalisation removed altogether (zero-width characters under NFKC, say) takes the subword
    before it, or the first. Needs at least one subword.
    """
    words = np.asarray(spans, dtype=np.int64).reshape(-1, 2)
    starts, ends = np.maximum.accumulate(offsets, axis=0).T
    first = np.searchsorted(ends, words[:, 0], side="right")
    last = np.searchsorted(starts, words[:, 1], side="left") - 1
    removed = last < first
    first[removed] = last[removed]
    return np.clip(np.stack([first, last], axis=1), 0, len(offsets) - 1)


@dataclass(frozen=True, slots=True)
class WordPooling:
    """Which subwords make each word: word ``words[i]`` takes ``weights[i]`` of ``subwords[i]``.

    All three have shape (N); a word's weights sum to 1.
    """

    words: IntArray
    subwords: IntArray
    weights: npt.NDArray[np.float32]

    def within(self, start: int, end: int) -> WordPooling:
        """Only the part that reads the subwords from ``start`` to ``end`` (exclusive)."""
        kept = (self.subwords >= start) & (self.subwords < end)
        return WordPooling(self.words[kept], self.subwords[kept], self.weights[kept])


def pool_words(ranges: IntArray, pooling: Pooling) -> WordPooling:
    """How the subword ``ranges`` (T, 2) of ``subword_ranges`` become one vector a word."""
    if pooling != "mean":
        subwords = ranges[:, 0] if pooling == "first" else ranges[:, 1]
        words = np.arange(len(ranges), dtype=np.int64)
        return WordPooling(words, subwords, np.ones(len(ranges), dtype=np.float32))
    counts = ranges[:, 1] - ranges[:, 0] + 1
    words = np.repeat(np.arange(len(ranges), dtype=np.int64), counts)
    within_word = np.arange(len(words)) - np.repeat(np.cumsum(counts) - counts, counts)
    weights = (1 / np.repeat(counts, counts)).astype(np.float32)
    return WordPooling(words, ranges[words, 0] + within_word, weights)


def align(passage: Passage, subwords: Subwords, pooling: Pooling) -> WordPooling:
    """How the subwords of ``passage.text`` become the vectors of its words."""
    return pool_words(subword_ranges(passage.spans, subwords.offsets), pooling)
