"""JSON lines: gold is never lost, every fault is named, round trips lose nothing."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llamaner.corpus import (
    Corpus,
    Document,
    LabelSpan,
    Sentence,
    read_conll,
    read_jsonl,
    segment,
    write_jsonl,
)
from llamaner.errors import CorpusError


def read_one(written, record):
    line = record if isinstance(record, str) else json.dumps(record)
    (document,) = read_jsonl(written(line, "corpus.jsonl")).documents
    return document


def problems(written, *records):
    lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
    with pytest.raises(CorpusError) as caught:
        read_jsonl(written("\n".join(lines), "corpus.jsonl"))
    return [(p.line, p.found) for p in caught.value.problems]


def found(document):
    return [(e.label, e.start, e.end) for e in document.entities]


def test_a_text_is_segmented_and_metadata_kept(written):
    document = read_one(
        written,
        {
            "id": 7,
            "text": "Ada met Bo. He left.",
            "entities": [{"start": 8, "end": 10, "label": "PER"}, [0, 3, "PER"]],
            "source": {"url": "x", "n": [1, None]},
        },
    )
    assert [s.words for s in document.sentences] == [("Ada", "met", "Bo", "."), ("He", "left", ".")]
    assert found(document) == [("PER", 0, 3), ("PER", 8, 10)]
    assert document.id == "7"
    assert document.metadata == {"source": {"url": "x", "n": [1, None]}}


def test_gold_wins_over_words_and_sentences(written):
    document = read_one(
        written, {"text": "xAday Hi! Ho. Yes", "entities": [[1, 4, "PER"], [6, 12, "MISC"]]}
    )
    assert [s.words for s in document.sentences] == [
        ("x", "Ada", "y", "Hi", "!", "Ho", "."),
        ("Yes",),
    ]
    assert found(document) == [("PER", 1, 4), ("MISC", 6, 12)]


def test_words_and_sentences_of_the_line_are_taken(written):
    record = {"text": "a b. c d", "words": [[0, 1], [2, 4], [5, 8]], "sentences": [[0, 5], [5, 8]]}
    sentences = read_one(written, record).sentences
    assert [s.words for s in sentences] == [("a", "b."), ("c d",)]
    assert [s.text for s in sentences] == ["a b. ", "c d"]
    del record["words"]
    assert [s.words for s in read_one(written, record).sentences] == [("a", "b."), ("c", "d")]
    del record["sentences"]
    record["words"] = [[0, 1], [2, 3], [3, 4]]
    assert [s.words for s in read_one(written, record).sentences] == [("a", "b", ".")]


def test_text_outside_the_sentences_is_not_read(written):
    document = read_one(written, {"text": "HEAD Ada ran. foot", "sentences": [[5, 13]]})
    assert [s.words for s in document.sentences] == [("Ada", "ran", ".")]


def test_doccanos_list_is_called_label(written):
    document = read_one(written, {"text": "Ada", "label": [[0, 3, "PER"]]})
    assert found(document) == [("PER", 0, 3)]
    assert document.metadata == {}
    assert read_one(written, {"text": "Ada", "label": "sports"}).metadata == {"label": "sports"}


def test_offsets_count_code_points_and_blank_lines_are_skipped(written):
    path = written(
        '\n{"text": "👩🏽 Ada", "entities": [[3, 6, "PER"]]}\r\n \n{"text": ""}\n', "a.jsonl"
    )
    first, second = read_jsonl(path).documents
    assert [e.text for e in first.entities] == ["Ada"]
    assert second == Document("", ())


PAIR = {"text": "ab cd", "entities": [[0, 5, "X"]]}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("nope", "not JSON at column 1: Expecting value"),
        ("[" * 100_000, "not JSON that can be read"),
        ("9" * 5000, "not JSON that can be read"),
        ([1], "a list as JSON, not an object"),
        ("null", "null as JSON, not an object"),
        ({}, 'there is no "text"'),
        ({"text": 5}, '"text" is a number'),
        ({"text": "a", "id": []}, '"id" is a list'),
        (r'{"text": "a\ud83dx"}', "half of a surrogate pair (U+D83D)"),
        ({"text": "a", "entities": {}}, '"entities" is an object'),
        ({"text": "a", "entities": [5]}, "an entity is 5"),
        ({"text": "a", "entities": [[0, 1, ""]]}, "an entity has the label ''"),
        ({"text": "a", "entities": [[0, 1, 4]]}, "an entity has the label 4"),
        ({"text": "a", "spans": [{"start": 0, "end": 1}]}, "'spans' looks like entities"),
        ({"text": "a", "labels": [[0, 1, "X"]]}, "'labels' looks like entities"),
        ({"text": "a", "entities": [[0, 2, "X"]]}, "entity from 0 to 2 in a text of length 1"),
        ({"text": "a", "entities": [[1, 1, "X"]]}, "entity from 1 to 1"),
        ({"text": "a", "entities": [[-1, 1, "X"]]}, "entity from -1 to 1"),
        ({"text": "a", "entities": [[0, True, "X"]]}, "entity from 0 to True"),
        ({"text": "a", "entities": [["0", 1.0, "X"]]}, "entity from '0' to 1.0"),
        ({"text": "a b", "entities": [[1, 2, "X"]]}, "X at 1:2 covers white space only"),
        ({"text": "a b", "entities": [[0, 2, "X"]]}, "X at 0:2 begins or ends with white space"),
        ({"text": "abc", "entities": [[0, 2, "X"], [1, 3, "Y"]]}, "entities X at 0:2 and Y at 1:3"),
        ({"text": "abc", "entities": [[0, 3, "X"], [1, 2, "Y"]]}, "entities X at 0:3 and Y at 1:2"),
        (
            {"text": "a b", "entities": [{"start": 0, "end": 1, "label": "X", "text": "b"}]},
            "text[0:1] is 'a', not 'b'",
        ),
        (
            {"text": "a", "entities": [{"start": 0, "end": 1, "label": "X", "confidence": 2}]},
            "an entity has the confidence 2",
        ),
        ({"text": "ab", "words": [[0, 2], [1, 2]]}, "word [1, 2] begins before [0, 2] ends"),
        ({"text": "ab", "words": [[0, 3]]}, "word from 0 to 3"),
        ({"text": "ab", "words": 3}, '"words" is not a list of pairs'),
        (
            PAIR | {"words": [[0, 1], [1, 5]], "entities": [[0, 2, "X"]]},
            "X at 0:2 begins or ends in",
        ),
        (PAIR | {"sentences": [[0, 2], [3, 5]]}, "X at 0:5 lies in no sentence"),
        ({"text": "a b", "words": [[0, 3]], "sentences": [[0, 1]]}, "word [0, 3] lies in no sen"),
        ({"text": "a b", "columns": [[["x"]]]}, '"columns" does not fit'),
        ({"text": "a b", "comments": "x"}, '"comments" does not fit'),
    ],
)
def test_faults_are_named_with_their_line(written, record, expected):
    ((line, what),) = problems(written, {"text": "fine"}, record)
    assert line == 2
    assert what.startswith(expected)


def test_all_faults_come_at_once(written):
    assert [
        line for line, _ in problems(written, "x", {"text": ""}, {"text": "a", "entities": [1, 2]})
    ] == [
        1,
        3,
        3,
    ]


def test_a_wrong_offset_is_told_the_right_one(written):
    entity = {"start": 1, "end": 4, "label": "X", "text": "Ada"}
    with pytest.raises(CorpusError, match="it stands at 2:5"):
        read_jsonl(written(json.dumps({"text": "👩 Ada", "entities": [entity]}), "a.jsonl"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 99) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
RECORDS = st.fixed_dictionaries(
    {"text": st.text(max_size=8) | JSON},
    optional={
        "id": JSON,
        "entities": st.lists(
            st.tuples(st.integers(-1, 8), st.integers(0, 9), st.sampled_from(["X", ""])) | JSON
        ),
        "label": JSON,
        "words": st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8))) | JSON,
        "sentences": st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8))) | JSON,
        "columns": JSON,
        "comments": st.lists(st.lists(st.text())) | JSON,
        "more": JSON,
    },
)


@given(st.lists(RECORDS, max_size=3))
def test_any_json_is_a_corpus_that_lasts_or_a_corpus_error(scratch, records):
    scratch.write_text("".join(f"{json.dumps(r)}\n" for r in records), encoding="utf-8")
    try:
        corpus = read_jsonl(scratch)
    except CorpusError:
        return
    write_jsonl(corpus, scratch)
    assert read_jsonl(scratch) == corpus


@st.composite
def annotated(draw):
    """A text with words that are labelled, or parts of words."""
    text = draw(st.text(max_size=60) | st.text("ab. \n\"'é-\u0301\u200d👩", max_size=60))
    bounds = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)))
    gold = [
        (start, end, draw(st.sampled_from(["X", "Y"])))
        for start, end in pairwise(bounds)
        if text[start:end] == text[start:end].strip() and draw(st.booleans())
    ]
    return text, gold


@given(annotated())
def test_no_gold_is_lost_on_any_text(scratch, sample):
    text, gold = sample
    scratch.write_text(json.dumps({"text": text, "entities": gold}), encoding="utf-8")
    (document,) = read_jsonl(scratch).documents
    assert [(e.start, e.end, e.label) for e in document.entities] == gold
    assert [e.text for e in document.entities] == [text[start:end] for start, end, _ in gold]
    covered = {
        i for s in document.sentences for a, b in s.spans for i in range(s.start + a, s.start + b)
    }
    assert covered == {i for i, character in enumerate(text) if not character.isspace()}


def test_a_corpus_with_everything_is_written_and_read_back(tmp_path):
    (plain,) = segment("  Ada ran\u2028on. ")
    sentence = replace(plain.with_entities([LabelSpan("PER", 0, 1)], [0.25]), comments=("# a",))
    sentence = replace(sentence, columns=(("w", "x", "y", "z"), ("", " ", "\n", "é")))
    document = Document("  Ada ran\u2028on. ", (sentence,), "d1", {"a": {"b": [None, 1.5]}})
    corpus = Corpus((document, Document("", ()), Document(" \n", ())))
    write_jsonl(corpus, tmp_path / "out")
    assert read_jsonl(tmp_path / "out") == corpus


def test_metadata_may_not_hide_a_field(tmp_path):
    with pytest.raises(ValueError, match="may not be called"):
        write_jsonl(Corpus((Document("", (), metadata={"text": "x"}),)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_conll_corpus_goes_through_json_lines_whole(written, tmp_path):
    text = "# one\n-DOCSTART- -X- O\n\nAda NNP B-PER\n\xa0 SP O\n\nBo NNP B-PER\n\n# end\n"
    corpus = read_conll(written(text))
    write_jsonl(corpus, tmp_path / "out")
    assert replace(read_jsonl(tmp_path / "out"), scheme="BIO") == corpus


def test_a_real_corpus_goes_through_json_lines_whole(shared, tmp_path):
    corpus = read_conll(shared / "conll2003" / "valid.txt")
    write_jsonl(corpus, tmp_path / "out")
    assert read_jsonl(tmp_path / "out").documents == corpus.documents


def test_sentences_are_given_as_they_are(tmp_path):
    document = Document.from_sentences(
        [Sentence.from_words(["a b", "c"]), Sentence.from_words(["d"])]
    )
    write_jsonl(Corpus((document,)), tmp_path / "out")
    assert read_jsonl(tmp_path / "out").documents == (document,)
