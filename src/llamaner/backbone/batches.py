"""Batches of about the same cost: a budget of subwords, padding included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def token_budget_batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices of ``lengths`` in batches, longest first.

    Rows times the longest row stay within ``budget``; a row that is longer than that goes alone.
    Longest first means that memory is at its highest in the first batch.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    position = 0
    while position < len(order):
        rows = max(1, budget // max(1, lengths[order[position]]))
        yield order[position : position + rows]
        position += rows
