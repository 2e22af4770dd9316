"""Schemes: against a brute-force definition, against seqeval, and there and back."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB2, IOBES, Entities

from llamaner.corpus.schemes import (
    LabelSpan,
    decode,
    encode,
    follows,
    ill_formed,
    recognise,
    split_tag,
)

SCHEMES = ("IOB1", "BIO", "BIOES")
LABELS = ("PER", "creative-work", "B-X", "é")


@st.composite
def sentences(draw):
    """A length, and spans over that many words."""
    length = draw(st.integers(0, 12))
    spans, position = [], 0
    while position < length:
        end = draw(st.integers(position + 1, length))
        if draw(st.booleans()):
            spans.append(LabelSpan(draw(st.sampled_from(LABELS)), position, end))
        position = end
    return spans, length


def slow_tag(spans, i, scheme):
    """The tag of word ``i`` by the schemes' definitions, one word at a time."""
    here = [span for span in spans if span.start <= i < span.end]
    if not here:
        return "O"
    (span,) = here
    touched = any(s.end == span.start and s.label == span.label for s in spans)
    if scheme == "BIOES" and i == span.end - 1:
        prefix = "S" if span.start == i else "E"
    elif i == span.start and (scheme != "IOB1" or touched):
        prefix = "B"
    else:
        prefix = "I"
    return f"{prefix}-{span.label}"


@given(sentences(), st.sampled_from(SCHEMES))
def test_encode_agrees_with_the_definition_and_decode_undoes_it(sentence, scheme):
    spans, length = sentence
    tags = encode(spans, length, scheme)
    assert tags == [slow_tag(spans, i, scheme) for i in range(length)]
    assert decode(tags, scheme) == spans
    assert ill_formed(tags, scheme) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_well_formed_tags_are_exactly_those_that_encode_writes(scheme):
    prefixes = "BIES" if scheme == "BIOES" else "BI"
    tagset = ["O", *(f"{prefix}-{label}" for prefix in prefixes for label in "XY")]
    for length in range(4):
        for tags in product(tagset, repeat=length):
            written = tuple(encode(decode(tags, scheme), length, scheme)) == tags
            assert written == (not ill_formed(tags, scheme)), tags


@given(st.lists(st.sampled_from(["O", *(f"{p}-{x}" for p in "BIES" for x in "XY")]), max_size=9))
def test_decode_is_as_lenient_as_conlleval(tags):
    expected = [LabelSpan(label, start, end + 1) for label, start, end in get_entities(tags)]
    assert decode(tags, "BIOES") == expected


@given(sentences())
def test_seqeval_in_strict_mode_finds_the_same(sentence):
    spans, length = sentence
    for scheme, theirs in (("BIO", IOB2), ("BIOES", IOBES)):
        (found,) = Entities([encode(spans, length, scheme)], scheme=theirs).entities
        assert [LabelSpan(e.tag, e.start, e.end) for e in found] == spans


@given(st.lists(sentences()), st.sampled_from(SCHEMES))
def test_recognise_finds_the_scheme_unless_bio_says_the_same(corpus, scheme):
    tags = [encode(spans, length, scheme) for spans, length in corpus]
    as_bio = [encode(spans, length, "BIO") for spans, length in corpus]
    assert recognise(tags) == ("BIO" if tags == as_bio else scheme)


def test_a_few_faults_do_not_hide_the_scheme():
    good = encode([LabelSpan("A", 0, 2), LabelSpan("A", 2, 3)], 4, "BIO")
    assert recognise([good] * 9 + [["I-A", "O"]]) == "BIO"
    assert recognise([good] * 9 + [["S-A", "O"]]) == "BIO"
    assert recognise([["I-A", "O"]] * 9 + [["B-A", "O"]]) == "IOB1"


def test_bilou_is_read_as_bioes():
    tags = ["B-A", "I-A", "L-A", "U-B", "O"]
    assert recognise([tags]) == "BIOES"
    assert decode(tags, "BIOES") == [LabelSpan("A", 0, 3), LabelSpan("B", 3, 4)]
    assert ill_formed(tags, "BIOES") == []


def test_faults_are_placed():
    assert ill_formed(["O", "I-A", "B-A"], "BIO") == [(1, "O", "I-A")]
    assert ill_formed(["B-A"], "BIOES") == [(0, "B-A", None)]
    assert ill_formed(["I-A", "B-B"], "IOB1") == [(1, "I-A", "B-B")]
    assert ill_formed([], "BIOES") == []


def test_follows_knows_starts_and_ends():
    assert follows(None, "B-A", "BIOES")
    assert not follows(None, "E-A", "BIOES")
    assert not follows("I-A", None, "BIOES")
    assert follows("I-A", None, "BIO")
    assert not follows("B-A", "I-B", "BIO")


@pytest.mark.parametrize("tag", ["", "B", "B-", "PER", "b-PER", "-PER", "O-PER", "X-PER", "o", "0"])
def test_what_is_no_tag_is_refused(tag):
    with pytest.raises(ValueError, match="not a tag"):
        split_tag(tag)


def test_a_tag_of_another_scheme_is_refused():
    with pytest.raises(ValueError, match="'E-A' is not a tag of BIO"):
        decode(["E-A"], "BIO")


@pytest.mark.parametrize(
    "spans",
    [[("A", 0, 2), ("B", 1, 3)], [("A", 1, 1)], [("A", 2, 4)], [("A", -1, 1)], [("", 0, 1)]],
)
def test_impossible_spans_are_refused(spans):
    with pytest.raises(ValueError, match="LabelSpan"):
        encode([LabelSpan(*span) for span in spans], 3)
