"""Intervals hold the truth as often as they say; p-values are those of their definitions."""

from itertools import product

import numpy as np
import pytest

from llamaner.evaluation.intervals import f1_intervals, paired_differences, randomisation_p


def corpus(rng, documents):
    """Counts (U, 1, 3) of a system: documents are easy or hard, and differ in size."""
    gold = rng.negative_binomial(2, 2 / 12, documents)
    both = rng.binomial(gold, rng.beta(8, 2, documents))
    found = both + rng.poisson(0.1 * gold)
    return np.stack([both, gold, found], axis=1).astype(float)[:, None]


@pytest.mark.parametrize("documents", [30, 100])
def test_a_95_percent_interval_holds_the_truth_in_93_to_97_percent(documents):
    rng = np.random.default_rng(0)
    both, gold, found = corpus(rng, 1_000_000)[:, 0].sum(axis=0)
    truth = 2 * both / (gold + found)
    draws = [corpus(rng, documents) for _ in range(1000)]
    # One call for many draws: all are corpora of so many documents.
    intervals = f1_intervals(np.concatenate(draws, axis=1))
    held = sum(low <= truth <= high for low, high in intervals)
    assert 930 <= held <= 970


def test_the_interval_of_a_difference_holds_0_where_systems_are_alike():
    rng = np.random.default_rng(1)
    first, second = (np.concatenate([corpus(rng, 60) for _ in range(500)], axis=1) for _ in "ab")
    found = paired_differences(first, second)
    held = sum(d.interval[0] <= 0 <= d.interval[1] for d in found)
    assert 460 <= held <= 490
    assert all((d.p > 0.05) == (d.interval[0] < 0 < d.interval[1]) for d in found)


def test_without_any_error_the_interval_is_the_exact_one():
    counts = np.full((10, 1, 3), 4.0)
    ((low, high),) = f1_intervals(counts)
    # With 40 entities all right, the lowest share p with p ** 40 = 0.025.
    assert low**40 == pytest.approx(0.025)
    assert high == 1
    counts[:, :, 0] = 0
    assert f1_intervals(counts) == [(0, pytest.approx(1 - low))]


def test_without_entities_or_any_difference_there_is_no_interval():
    assert f1_intervals(np.zeros((3, 2, 3))) == [None, None]
    assert f1_intervals(np.tile([[[3.0, 4.0, 4.0]]], (5, 1, 1))) == [None]
    counts = np.full((10, 1, 3), 4.0)
    (same,) = paired_differences(counts, counts)
    assert (same.value, same.interval, same.p) == (0, None, 1)
    assert randomisation_p(counts[:, 0], counts[:, 0], shuffles=100) == 1


def test_an_interval_stays_between_0_and_1_with_one_error_or_one_hit():
    nearly = np.full((20, 1, 3), 5.0)
    nearly[3, 0, 0] = 4
    hardly = np.full((20, 1, 3), 5.0)
    hardly[:, 0, 0] = 0
    hardly[3, 0, 0] = 1
    for counts, f1 in ((nearly, 0.99), (hardly, 0.01)):
        (interval,) = f1_intervals(counts)
        low, high = interval
        assert 0 < low < f1 < high < 1
        assert high - low < 0.2


def test_randomisation_agrees_with_all_shuffles():
    rng = np.random.default_rng(2)
    first, second = corpus(rng, 8)[:, 0], corpus(rng, 8)[:, 0]
    second[:, 1] = first[:, 1]

    def f1(counts):
        both, gold, found = counts.sum(axis=0)
        return 2 * both / (gold + found)

    observed = abs(f1(first) - f1(second))
    apart = []
    for swaps in product([False, True], repeat=8):
        swap = np.array(swaps)[:, None]
        one, other = np.where(swap, second, first), np.where(swap, first, second)
        apart.append(abs(f1(one) - f1(other)) >= observed - 1e-12)
    estimated = randomisation_p(first, second, shuffles=10_000)
    assert estimated == pytest.approx(np.mean(apart), abs=0.02)
