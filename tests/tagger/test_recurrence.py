"""The LSTM that learns on a CPU is the one of PyTorch, states and gradients alike."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from llamaner.tagger.recurrence import BiLstm


def sentences(lengths: list[int], width: int) -> PackedSequence:
    generator = torch.Generator().manual_seed(sum(lengths))
    rows = [torch.randn(n, width, generator=generator, dtype=torch.float64) for n in lengths]
    return pack_sequence(rows, enforce_sorted=False)


def gradients(lstm: BiLstm, words: PackedSequence, states: PackedSequence) -> list[torch.Tensor]:
    weights = torch.linspace(-1, 1, states.data.numel(), dtype=torch.float64)
    inputs = [words.data, *lstm.parameters()]
    return list(torch.autograd.grad((states.data.flatten() * weights).sum(), inputs))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=25), st.integers(1, 4))
def test_states_and_gradients_are_those_of_pytorch(lengths: list[int], hidden: int) -> None:
    torch.manual_seed(0)
    lstm, words = BiLstm(3, hidden).double(), sentences(lengths, 3)
    words.data.requires_grad_()
    ours, theirs = lstm.states(words), lstm.forward(words)[0]

    torch.testing.assert_close(ours.data, theirs.data)
    for mine, other in zip(
        gradients(lstm, words, ours), gradients(lstm, words, theirs), strict=True
    ):
        torch.testing.assert_close(mine, other)
    assert [part.tolist() for part in ours[1:]] == [part.tolist() for part in theirs[1:]]


def test_bfloat16_products_stay_near_and_give_gradients_in_the_weights_type() -> None:
    torch.manual_seed(0)
    lstm = BiLstm(8, 16)
    words = pack_sequence([torch.randn(n, 8) for n in (5, 40)], enforce_sorted=False)
    exact = lstm.states(words).data
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = lstm.states(words).data
    rounded.sum().backward()

    torch.testing.assert_close(rounded, exact, atol=0.02, rtol=0)
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in lstm.parameters())
