"""The rows that a backbone is given: windows of passages, with their repeats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llamaner.backbone.alignment import Subwords, WordPooling, align
from llamaner.backbone.passages import Passage
from llamaner.backbone.tokenizer import BackboneTokenizer
from llamaner.backbone.windows import Window, windows
from llamaner.configuration import BackboneSettings, Pooling
from llamaner.errors import ConfigurationError

DEFAULT_WINDOW = 512


@dataclass(frozen=True, slots=True)
class Row:
    """A window of a passage as the model is given it, and the words that read it."""

    passage: int
    ids: npt.NDArray[np.int64]
    pooling: WordPooling
    """Its ``words`` ascend; its ``subwords`` count from the beginning of ``ids``."""

    @property
    def first_word(self) -> int:
        """The first word of the passage that reads this row."""
        return int(self.pooling.words[0])

    @property
    def end_word(self) -> int:
        """One more than the last word of the passage that reads this row."""
        return int(self.pooling.words[-1]) + 1

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Reading:
    """How passages become rows: sizes in subwords."""

    window: int
    overlap: int
    context: int
    repeat: int
    pooling: Pooling

    @classmethod
    def chosen(cls, settings: BackboneSettings, positions: int | None) -> Reading:
        """What ``settings`` say, for a model with so many positions.

        Raises ``ConfigurationError`` where the model cannot read such windows.
        """
        # Each copy of a window stands with a separator, and the first with a prefix.
        most = None if positions is None else positions // (settings.repeat + 1) - 2
        window = settings.window or min(DEFAULT_WINDOW, most or DEFAULT_WINDOW)
        asked = settings.context or 0
        overlap = max(window // 4, 2 * asked) if settings.overlap is None else settings.overlap
        if most is not None and window > most:
            raise ConfigurationError(
                f"the backbone reads {positions} subwords at most: with repeat {settings.repeat} a "
                f"window may have {most}, not {window}"
            )
        if overlap < 2 * asked:
            raise ConfigurationError(
                f"overlap ({overlap}) must be twice the context ({asked}), or more"
            )
        if overlap >= window:
            cause = "" if settings.overlap is not None else " (twice the context)"
            raise ConfigurationError(
                f"overlap ({overlap}){cause} must be smaller than window ({window})"
            )
        context = overlap // 2 if settings.context is None else settings.context
        return cls(window, overlap, context, settings.repeat, settings.pooling)

    def rows(self, passages: Sequence[Passage], tokenizer: BackboneTokenizer) -> list[Row]:
        """The rows of all passages that have words, in order."""
        tokenized = tokenizer([passage.text for passage in passages])
        return [
            row
            for index, (passage, subwords) in enumerate(zip(passages, tokenized, strict=True))
            if len(passage)
            for row in self._rows(index, passage, subwords, tokenizer)
        ]

    def _rows(
        self, index: int, passage: Passage, subwords: Subwords, tokenizer: BackboneTokenizer
    ) -> Iterator[Row]:
        if not len(subwords):
            # Nothing of the text is left after the tokenizer's normalisation: read the separator.
            subwords = Subwords(tokenizer.separator, np.zeros((1, 2), dtype=np.int64))
        pooling = align(passage, subwords, self.pooling)
        for window in windows(len(subwords), self.window, self.overlap):
            read = pooling.within(window.keep_start, window.keep_end)
            if len(read.words):
                ids = self._with_repeats(subwords.ids[window.start : window.end], tokenizer)
                yield Row(index, ids, _moved(read, window, len(ids)))

    def _with_repeats(
        self, ids: npt.NDArray[np.int64], tokenizer: BackboneTokenizer
    ) -> npt.NDArray[np.int64]:
        """The window's subwords after their repeats (Springer et al. 2024, arXiv 2402.15449)."""
        copies = [ids, tokenizer.separator] * self.repeat
        return np.concatenate([tokenizer.prefix, *copies, ids])


def _moved(pooling: WordPooling, window: Window, row_length: int) -> WordPooling:
    """``pooling`` with its subwords counted in a row that ends with the window's subwords."""
    offset = row_length - (window.end - window.start) - window.start
    return WordPooling(pooling.words, pooling.subwords + offset, pooling.weights)
