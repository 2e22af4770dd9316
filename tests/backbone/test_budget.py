"""Batches within a budget of subwords, which is halved where memory did not suffice."""

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from llamaner.backbone import Backbone
from llamaner.backbone.budget import ENOUGH_ON_CPU, TokenBudget, choose_budget
from llamaner.corpus import Sentence
from llamaner.errors import BackboneError

CPU_MESSAGE = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
    RuntimeError(f"[enforce fail at alloc_cpu.cpp:127] . {CPU_MESSAGE}"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:80] . DefaultCPUAllocator: not enough memory"),
    MemoryError(),
]
LENGTHS = st.lists(st.integers(0, 100), max_size=60)


def within(limit, error, lengths):
    """A stand-in for the blocks: raises above ``limit`` subwords."""

    def compute(indices):
        if len(indices) * max(lengths[i] for i in indices) > limit:
            raise error
        return [lengths[i] for i in indices]

    return compute


@given(LENGTHS, st.integers(1, 200))
def test_batches_hold_everything_within_the_budget_longest_first(lengths, budget):
    found = list(TokenBudget(budget).batches(lengths, lambda indices: indices))
    batches = [indices for indices, _ in found]
    assert all(result == indices for indices, result in found)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    longest = [max(lengths[i] for i in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget


@hypothesis_settings(max_examples=40)
@given(LENGTHS, st.integers(100, 2000), st.sampled_from(OUT_OF_MEMORY))
def test_nothing_is_lost_where_memory_does_not_suffice(lengths, budget, error):
    tokens = TokenBudget(budget)
    found = list(tokens.batches(lengths, within(130, error, lengths)))
    assert sorted(i for indices, _ in found for i in indices) == list(range(len(lengths)))
    assert all(result == [lengths[i] for i in indices] for indices, result in found)


def test_a_budget_is_halved_and_stays_so():
    tokens = TokenBudget(1000)
    lengths = [10] * 500
    list(tokens.batches(lengths, within(300, OUT_OF_MEMORY[0], lengths)))
    assert tokens.subwords == 250


def test_a_row_that_does_not_fit_is_named():
    with pytest.raises(BackboneError, match=r"a row of 90 subwords does not fit.*llamaner plan"):
        list(TokenBudget(64).batches([90, 3], within(80, OUT_OF_MEMORY[1], [90, 3])))


def test_other_errors_are_not_taken_for_it():
    with pytest.raises(RuntimeError, match="shape"):
        list(TokenBudget(64).batches([9, 3], within(0, RuntimeError("shape"), [9, 3])))


def test_extraction_goes_on_with_smaller_batches(model_folder, settings_of, monkeypatch, capsys):
    sentences = [Sentence.from_words(f"the number {i} of many".split()) for i in range(40)]
    expected = dict(Backbone(settings_of(model_folder, token_budget=64)).embed(sentences))
    backbone = Backbone(settings_of(model_folder, token_budget=1024))
    forward = type(backbone.blocks).forward

    def small(blocks, ids, *others):
        if ids.numel() > 300:
            raise RuntimeError(CPU_MESSAGE)
        return forward(blocks, ids, *others)

    monkeypatch.setattr(type(backbone.blocks), "forward", small)
    found = dict(backbone.embed(sentences))
    assert "out of memory: batches now hold" in capsys.readouterr().err
    for index, vectors in expected.items():
        assert abs(found[index] - vectors).max() < 4e-3


def test_auto_is_enough_or_what_fits():
    cpu = torch.device("cpu")
    assert choose_budget(2**40, 50_000, cpu) == ENOUGH_ON_CPU
    assert choose_budget(100_000_000, 50_000, cpu) == 1000
    assert choose_budget(0, 50_000, cpu) == 64
