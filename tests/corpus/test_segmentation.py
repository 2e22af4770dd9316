"""Segmentation: exact offsets on any text, words and sentences as people expect them."""

import time
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llamaner.corpus import Document, segment, segmentation
from llamaner.corpus.segmentation import cut_words, word_spans
from llamaner.errors import ConfigurationError

NASTY = (
    "a Z.!?'\"()-–\n\r\t\v\f\0\x1c\x85\xa0\u00ad\u0301\u0338\u200b\u200c\u200d\u200e\u2028\u2029"
    "\u202e\u2060\u3000\ufe0f\ufeff\ufffdאبगि你👩🏽🏳🌈🇫\ud800\udc00"
)
TEXTS = st.one_of(
    st.text(),
    st.text(alphabet=NASTY, max_size=40),
    st.lists(
        st.sampled_from(["Mr. ", "U.S.", "Oslo", ". ", '"', "\n\n", "👩🏽\u200d🚀", "e\u0301"])
    ).map("".join),
)


@given(TEXTS)
@example("")
@example(" \r\n\u3000")
@example(")" * 300 + "\u200d" + "x" * 300)
def test_every_character_but_white_space_is_in_one_word(text):
    sentences = segment(text)
    document = Document(text, sentences)
    covered = [i for s in sentences for start, end in s.spans for i in range(start, end)]
    assert len(covered) == sum(map(len, (w for s in sentences for w in s.words)))
    inside = {s.start + i for s in sentences for a, b in s.spans for i in range(a, b)}
    assert inside == {i for i, character in enumerate(text) if not character.isspace()}
    assert all(len(sentence) > 0 for sentence in document.sentences)
    assert all(sentence.text.strip() == sentence.text for sentence in sentences)


@given(TEXTS)
def test_no_word_begins_with_what_belongs_to_the_sign_before(text):
    for start, _ in word_spans(text):
        joins = unicodedata.category(text[start])[0] == "M" or text[start] == "\u200d"
        assert not joins or start == 0 or text[start - 1].isspace()


def words_of(text, language="en"):
    return [list(sentence.words) for sentence in segment(text, language)]


def test_words_are_as_in_conll():
    text = "German-born U.S.-led e-mail on 1996-08-22, 2-1; J. Smith's don't."
    (words,) = words_of(text)
    assert words[:8] == ["German-born", "U.S.-led", "e-mail", "on", "1996-08-22", ",", "2-1", ";"]
    assert words[8:] == ["J.", "Smith", "'s", "do", "n't", "."]
    assert words_of("Der Nord-Süd-Dialog gewann 2-1!", "de") == [
        ["Der", "Nord-Süd-Dialog", "gewann", "2-1", "!"]
    ]


def test_joined_signs_stay_whole():
    family, flag, wave = "👨‍👩‍👧", "🏳️‍🌈", "👋🏽"
    assert words_of(f"a{family} {flag} {wave} e\u0301") == [["a", family, flag, wave, "e\u0301"]]


def test_sentences_end_at_stops_and_blank_lines_and_quotes_open_them():
    text = 'He left. "I am here," he said. (No!) OK\n\nHEAD\r\n \r\nBody\ngoes on\u2029Next'
    assert [s.text for s in segment(text)] == [
        "He left.",
        '"I am here," he said.',
        "(No!)",
        "OK",
        "HEAD",
        "Body\ngoes on",
        "Next",
    ]


@pytest.mark.parametrize(
    "text", ["a" * 10_000, ")" * 10_000, "(👍a" * 3_000, "e" + "\u0301" * 10_000, "é,(" * 4_000]
)
def test_runs_without_white_space_take_no_time(text):
    segment("")
    before = time.process_time()
    (sentence,) = segment(f"x {text} y")
    assert "".join(sentence.words) == f"x{text}y"
    assert time.process_time() - before < 2


def test_one_long_word_stays_one_word():
    assert words_of("x " + "a" * 10_000) == [["x", "a" * 10_000]]


def test_texts_may_be_longer_than_spacys_limit():
    assert len(segment("Ada saw Bo. " * 100_000)) == 100_000


def test_words_that_were_seen_once_are_not_kept_for_ever(monkeypatch):
    monkeypatch.setattr(segmentation, "_STRINGS_KEPT", 3_000)
    for start in range(0, 20_000, 1_000):
        text = " ".join(f"word{i}." for i in range(start, start + 1_000))
        assert len(segment(text)) == 1_000
        assert len(segmentation._pipeline("en").vocab.strings) <= 3_000


def test_an_unknown_language_is_an_error():
    with pytest.raises(ConfigurationError, match="klingon"):
        segment("a", "klingon")


@given(st.integers(0, 9), st.sets(st.integers(-1, 11)))
def test_words_are_cut_where_asked(gap, cuts):
    words = [(0, gap), (gap, 10)] if gap else [(0, 10)]
    pieces = cut_words(words, cuts)
    bounds = sorted({0, gap, 10} | {cut for cut in cuts if 0 < cut < 10})
    assert pieces == list(pairwise(bounds))
