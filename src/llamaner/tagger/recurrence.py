"""A bidirectional LSTM whose gradient on a CPU is one product of matrices, not one a word."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import PackedSequence

from llamaner.tagger.rounding import filled_up, rounded_up

_SENTENCES = 8
"""Steps are taken for a multiple of so many sentences."""


class BiLstm(nn.LSTM):
    """``nn.LSTM`` with one bidirectional layer over packed sequences.

    Where it learns on a CPU, PyTorch adds the gradient of the recurrent weights up word by word,
    which takes longer than the recurrence. Here both directions take their steps together, and the
    gradient of the weights is computed once, after the last. Elsewhere it is ``nn.LSTM``.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(width, hidden, bidirectional=True, batch_first=True)

    def states(self, words: PackedSequence) -> PackedSequence:
        """The states (N, 2H) of both directions, packed as ``words`` (N, width) are."""
        rows = words.data
        if not self.training or rows.device.type != "cpu":
            return self.forward(words)[0]
        backwards = _backwards(words.batch_sizes)
        rightward, leftward = self.all_weights
        gates = torch.stack(
            (_gates(rows, rightward), _gates(rows.index_select(0, backwards), leftward))
        )
        steps = torch.stack((rightward[1], leftward[1]))
        counts = words.batch_sizes.tolist()
        both: Tensor = _Recurrence.apply(gates, steps, counts)  # type: ignore[no-untyped-call]
        states = torch.cat((both[0], both[1].index_select(0, backwards)), dim=1)
        return words._replace(data=states)


def _gates(rows: Tensor, weights: list[nn.Parameter]) -> Tensor:
    """(N, 4H): what the words alone give to the gates of one direction."""
    matrix, _, bias, other_bias = weights
    return nn.functional.linear(filled_up(rows), matrix, bias + other_bias)[: len(rows)]


def _backwards(counts: Tensor) -> Tensor:
    """(N): the place of each packed word in its sentence read backwards; its own inverse.

    ``counts`` (T) are how many sentences have a word at each position.
    """
    starts = counts.cumsum(0) - counts
    longest = int(counts[0])
    rows = torch.arange(longest)
    within = rows < counts[:, None]
    lengths = within.sum(0)
    positions, sentences = within.nonzero(as_tuple=True)
    return starts[lengths[sentences] - 1 - positions] + sentences


class _Recurrence(torch.autograd.Function):
    """The steps of both directions (Hochreiter & Schmidhuber 1997, with forget gates).

    ``gates`` (2, N, 4H): what the words alone give to the input, forget, cell and output gate,
    ``weights`` (2, 4H, H), ``counts``: the sentences that are read in each step. Products are in
    the type of ``gates``, states in float32 at least. → states (2, N, H).
    """

    @staticmethod
    def forward(ctx: Any, gates: Tensor, weights: Tensor, counts: list[int]) -> Tensor:
        exact = torch.promote_types(gates.dtype, torch.float32)
        weights = weights.to(gates.dtype)
        turned = weights.transpose(1, 2).contiguous()
        words, hidden = gates.shape[1], weights.shape[2]
        longest = counts[0]
        state, cell = gates.new_zeros(2, longest, hidden), _zeros(exact, longest, hidden)
        before = gates.new_zeros(2, rounded_up(words), hidden)
        cells_before, squashed, states = (
            torch.empty(2, words, hidden, dtype=exact) for _ in range(3)
        )
        active = torch.empty(2, words, 4 * hidden, dtype=exact)
        for here, count in _steps(counts):
            before[:, here], cells_before[:, here] = state[:, :count], cell[:, :count]
            onward = torch.bmm(state[:, : rounded_up(count, _SENTENCES)], turned)[:, :count]
            step = torch.add(gates[:, here], onward, out=active[:, here])
            entry, forget, change, exit_ = step.chunk(4, dim=2)
            change.mul_(2)
            step.sigmoid_()
            change.mul_(2).sub_(1)
            cell[:, :count].mul_(forget).addcmul_(entry, change)
            _tanh(cell[:, :count], out=squashed[:, here])
            state[:, :count] = torch.mul(exit_, squashed[:, here], out=states[:, here])
        ctx.save_for_backward(weights, active, before, cells_before, squashed)
        ctx.counts = counts
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        weights, active, before, cells_before, squashed = ctx.saved_tensors
        entry, forget, change, exit_ = active.chunk(4, dim=2)
        by_cell = torch.stack(
            (
                change * entry * (1 - entry),
                cells_before * forget * (1 - forget),
                entry * (1 - change.square()),
            ),
            dim=2,
        )
        by_state = squashed * exit_ * (1 - exit_)
        through = exit_ * (1 - squashed.square())
        words, hidden = squashed.shape[1:]
        longest = ctx.counts[0]
        state, cell = (_zeros(squashed.dtype, longest, hidden) for _ in range(2))
        found = weights.new_zeros(2, rounded_up(words + _SENTENCES), 4, hidden)
        for here, count in reversed(_steps(ctx.counts)):
            total = gradient[:, here] + state[:, :count]
            cell[:, :count].addcmul_(total, through[:, here])
            found[:, here, :3] = by_cell[:, here] * cell[:, :count, None]
            found[:, here, 3] = by_state[:, here] * total
            rows = slice(here.start, here.start + rounded_up(count, _SENTENCES))
            state[:, :count] = torch.bmm(found[:, rows].flatten(2).contiguous(), weights)[:, :count]
            cell[:, :count].mul_(forget[:, here])
        whole = found[:, : before.shape[1]].flatten(2)
        by_weights = torch.bmm(whole.transpose(1, 2), before).to(squashed.dtype)
        return whole[:, :words], by_weights, None


def _tanh(values: Tensor, out: Tensor) -> Tensor:
    """2 sigma(2x) - 1: PyTorch's sigmoid is several times as fast as its tanh."""
    return torch.mul(values, 2, out=out).sigmoid_().mul_(2).sub_(1)


def _zeros(kind: torch.dtype, rows: int, width: int) -> Tensor:
    return torch.zeros(2, rows, width, dtype=kind)


def _steps(counts: list[int]) -> list[tuple[slice, int]]:
    """Of each step the packed words and how many they are."""
    ends = list(itertools.accumulate(counts))
    return [(slice(end - count, end), count) for end, count in zip(ends, counts, strict=True)]
