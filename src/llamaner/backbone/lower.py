"""The states of subwords below the blocks that are adapted: computed once, as features are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from llamaner.backbone.assembly import Vectors
from llamaner.backbone.backbone import Backbone, key_of
from llamaner.backbone.blocks import Blocks
from llamaner.backbone.passages import Passage, parts
from llamaner.backbone.rows import Row
from llamaner.configuration import BackboneSettings
from llamaner.errors import BackboneError


class LowerStates:
    """What goes into block ``first``: a row (1, D) for each subword of a passage's rows."""

    def __init__(self, backbone: Backbone, first: int) -> None:
        self._backbone, self._first = backbone, first
        self.layers = (first - 1,)
        self.width = backbone.width

    @property
    def settings(self) -> BackboneSettings:
        """Those of the backbone."""
        return self._backbone.settings

    @property
    def dependencies(self) -> dict[str, Any]:
        """The backbone's, for the one layer, before words are made of subwords."""
        return {**self._backbone.dependencies, "layers": list(self.layers), "rows": "subwords"}

    @property
    def key(self) -> str:
        """The ``dependencies`` in 32 hexadecimal digits."""
        return key_of(self.dependencies)

    def counts(self, passages: Sequence[Passage]) -> list[int]:
        """How many subwords the rows of each passage have."""
        counts = [0] * len(passages)
        for part in parts(passages):
            for row in self._backbone.rows(passages[part]):
                counts[part.start + row.passage] += len(row)
        return counts

    def embed(self, passages: Sequence[Passage]) -> Iterator[tuple[int, Vectors]]:
        """Each passage's index and the states (S, 1, D) of its rows, one after another.

        Raises ``BackboneError`` where float16 cannot hold them.
        """
        for part in parts(passages):
            for index, states in self._embed(passages[part]):
                yield part.start + index, states

    @cached_property
    def _blocks(self) -> Blocks:
        return self._backbone.load_blocks(self.layers)

    def _embed(self, passages: Sequence[Passage]) -> Iterator[tuple[int, Vectors]]:
        rows = self._backbone.rows(passages)
        by_passage: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            by_passage[row.passage].append(row)
        done: dict[int, Vectors] = {}
        for batch, states in self._backbone.states(self._blocks, rows):
            halves = states.half().cpu().numpy()
            for row, part in zip(batch, halves, strict=True):
                done[id(row)] = part[: len(row)].copy()
                mine = by_passage[row.passage]
                if all(id(other) in done for other in mine):
                    whole = np.concatenate([done.pop(id(other)) for other in mine])
                    yield row.passage, _finite(whole)


def _finite(states: Vectors) -> Vectors:
    if not np.isfinite(states).all():
        raise BackboneError(
            "the states below the adapted blocks are too large for float16; adapt from the first "
            "block on (first_block = 1)"
        )
    return states
