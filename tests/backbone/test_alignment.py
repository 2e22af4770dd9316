"""Every word finds exactly the subwords that share a character with it, whatever the text."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llamaner.backbone.alignment import Subwords, align, pool_words, subword_ranges
from llamaner.backbone.tokenizer import BackboneTokenizer
from llamaner.corpus import Sentence, segment

NASTY = st.text(
    alphabet=st.one_of(
        st.characters(),
        st.sampled_from("aé\u0301 \u00a0\u200b\u200d\u2028\ufeff\r\n\t.\"'()-👩🚀🏽ש\u0627漢ﬁ<s>"),
    ),
    max_size=60,
)


@pytest.fixture(scope="module", params=["byte_level", "sentencepiece", "metaspace"])
def tokenizer(request, tokenizer_of):
    return BackboneTokenizer(tokenizer_of(request.param))


def overlapping(span, offsets):
    return [i for i, (a, b) in enumerate(offsets) if a < span[1] and b > span[0]]


@given(text=NASTY)
@example(text="")
@example(text=" \n ")
@example(text="x" * 10_000)
@example(text="👩‍🚀" * 50)
@example(text="שלום (עולם)\r\nnaïve\u00a0café e\u0301")
@example(text="</s><s>[INST]")
@example(text="\ud800 lone")
def test_each_word_has_the_subwords_that_share_a_character_with_it(tokenizer, text):
    subwords = tokenizer([text])[0]
    for sentence in segment(text):
        spans = [(sentence.start + a, sentence.start + b) for a, b in sentence.spans]
        for span, (first, last) in zip(spans, subword_ranges(spans, subwords.offsets), strict=True):
            expected = overlapping(span, subwords.offsets)
            assert list(range(first, last + 1)) == expected
            assert expected, f"{text[slice(*span)]!r} has no subword"


@given(text=NASTY)
def test_subwords_cover_every_character_but_space(tokenizer, text):
    covered = {i for start, end in tokenizer([text])[0].offsets for i in range(start, end)}
    assert all(i in covered or char.isspace() for i, char in enumerate(text))


def test_a_word_in_a_sentence_keeps_its_leading_space(tokenizer_of):
    # Given words, a byte-level tokenizer makes other pieces than it does of the text.
    tokenizer = BackboneTokenizer(tokenizer_of("byte_level"))
    inside = tokenizer(["said the"])[0].ids[-1]
    assert tokenizer.decode([inside]) == " the"


def test_a_word_that_normalisation_removed_takes_its_neighbour():
    offsets = np.array([[0, 2], [4, 6]])
    ranges = subword_ranges([(0, 2), (2, 4), (4, 6)], offsets)
    assert ranges.tolist() == [[0, 0], [0, 0], [1, 1]]
    assert subword_ranges([(0, 1)], np.array([[1, 3]])).tolist() == [[0, 0]]


def test_one_subword_may_belong_to_two_words():
    assert subword_ranges([(0, 1), (1, 2)], np.array([[0, 2]])).tolist() == [[0, 0], [0, 0]]


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=8),
    st.sampled_from(["last", "first", "mean"]),
)
def test_pooling_weights(pairs, pooling):
    ranges = np.array([[a, a + n] for a, n in pairs], dtype=np.int64).reshape(-1, 2)
    result = pool_words(ranges, pooling)
    for word, (first, last) in enumerate(ranges):
        mine = result.words == word
        assert result.weights[mine].sum() == pytest.approx(1)
        read = result.subwords[mine].tolist()
        expected = {"last": [last], "first": [first], "mean": list(range(first, last + 1))}
        assert read == expected[pooling]


def test_align_reads_the_sentence_words():
    sentence = Sentence.from_words(["EU", "rejects"])
    subwords = Subwords(np.array([5, 6, 7]), np.array([[0, 2], [2, 5], [5, 10]]))
    assert align(sentence, subwords, "last").subwords.tolist() == [0, 2]
