"""From the states of rows to the vectors of words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from llamaner.backbone.rows import Row
from llamaner.errors import BackboneError

Vectors = npt.NDArray[np.float16]


def pool_rows(rows: Sequence[Row], states: Tensor) -> list[Tensor]:
    """The weighted sums (words that the row reads, L, D) of each row's subwords, in float32.

    ``states`` are (rows, S, L, D); gradients go through.
    """
    counts = [row.end_word - row.first_word for row in rows]
    moved = np.cumsum([0, *counts[:-1]]) - [row.first_word for row in rows]
    words = np.concatenate([r.pooling.words + by for r, by in zip(rows, moved, strict=True)])
    subwords = np.concatenate(
        [row.pooling.subwords + i * states.shape[1] for i, row in enumerate(rows)]
    )
    weights = np.concatenate([row.pooling.weights for row in rows])
    # Not by indexing: its gradient adds up in an order that threads decide.
    read = states.flatten(0, 1).index_select(0, torch.from_numpy(subwords).to(states.device))
    weighted = read.float() * torch.from_numpy(weights).to(states.device)[:, None, None]
    sums = weighted.new_zeros(sum(counts), *weighted.shape[1:])
    sums.index_add_(0, torch.from_numpy(words).to(states.device), weighted)
    return list(torch.split(sums, counts))


def normalised(vectors: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the width: layer norm without gain or bias (Ba et al. 2016)."""
    return layer_norm(vectors, vectors.shape[-1:])


class Assembly:
    """Puts the vectors of passages together from the rows that hold their subwords."""

    def __init__(self, word_counts: Sequence[int], rows: Sequence[Row]) -> None:
        self._word_counts = word_counts
        passages = np.array([row.passage for row in rows], dtype=np.int64)
        self._rows_missing = np.bincount(passages, minlength=len(word_counts)).tolist()
        self._unfinished: dict[int, Tensor] = {}

    def add(self, rows: Sequence[Row], states: Tensor) -> Iterator[tuple[int, Vectors]]:
        """Take up ``states`` (rows, S, L, D); give the passages that are complete with them.

        Raises ``BackboneError`` where their vectors are not finite.
        """
        finished, tensors = [], []
        for row, part in zip(rows, pool_rows(rows, states), strict=True):
            whole = self._with(row, part)
            self._rows_missing[row.passage] -= 1
            if not self._rows_missing[row.passage]:
                self._unfinished.pop(row.passage, None)
                finished.append(row.passage)
                tensors.append(whole)
        if finished:
            vectors: Vectors = normalised(torch.cat(tensors)).half().cpu().numpy()
            if not np.isfinite(vectors).all():
                raise BackboneError(
                    "the backbone's states are too large for its precision, or its weights are "
                    "damaged; try --precision bfloat16 or float32"
                )
            ends = np.cumsum([self._word_counts[index] for index in finished])[:-1]
            yield from zip(finished, np.split(vectors, ends), strict=True)

    def _with(self, row: Row, part: Tensor) -> Tensor:
        """The sums of the row's passage, as far as they are there."""
        count = self._word_counts[row.passage]
        if len(part) == count and self._rows_missing[row.passage] == 1:
            earlier = self._unfinished.get(row.passage)
            return part if earlier is None else earlier + part
        if row.passage not in self._unfinished:
            self._unfinished[row.passage] = part.new_zeros(count, *part.shape[1:])
        whole = self._unfinished[row.passage]
        whole[row.first_word : row.end_word] += part
        return whole
