"""Windows over long sentences, and batches of about the same cost."""

from hypothesis import given
from hypothesis import strategies as st

from llamaner.backbone.batches import token_budget_batches
from llamaner.backbone.windows import windows

SIZES = st.integers(2, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1)))


@given(st.integers(0, 300), SIZES)
def test_each_subword_is_kept_once_with_context_on_both_sides(length, sizes):
    size, overlap = sizes
    kept = []
    for window in windows(length, size, overlap):
        assert 0 <= window.start <= window.keep_start <= window.keep_end <= window.end <= length
        assert window.end - window.start <= size
        for subword in range(window.keep_start, window.keep_end):
            kept.append(subword)
            assert subword - window.start >= min(subword, overlap // 2)
            assert window.end - 1 - subword >= min(length - 1 - subword, overlap // 2)
    assert kept == list(range(length))


@given(st.integers(1, 2000), SIZES)
def test_no_more_is_read_than_the_overlap_takes(length, sizes):
    size, overlap = sizes
    found = windows(length, size, overlap)
    assert len({window.end - window.start for window in found}) == 1
    read = sum(window.end - window.start for window in found)
    assert length <= read < length + (len(found) - 1) * overlap + len(found)


def test_a_short_sentence_is_one_window():
    assert windows(5, 8, 2) == [(0, 5, 0, 5)]


@given(st.lists(st.integers(0, 100), max_size=60), st.integers(1, 200))
def test_batches_hold_everything_within_the_budget_longest_first(lengths, budget):
    batches = list(token_budget_batches(lengths, budget))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    longest = [max(lengths[i] for i in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget
