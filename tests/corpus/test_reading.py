"""The format is found by the name or the content; what is missing is named with its like."""

import pytest

import llamaner.corpus
from llamaner.corpus import read_corpus
from llamaner.errors import CorpusError

CONLL = "Ada B-PER\nran O\n"
JSONL = '{"text": "Ada ran", "entities": [[0, 3, "PER"]]}\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *[(f"a.{suffix}", CONLL) for suffix in ("conll", "txt", "IOB2", "bio", "tsv", "data")],
        *[(f"a.{suffix}", JSONL) for suffix in ("jsonl", "json", "txt")],
        ("noending", CONLL),
        ("noending", "\ufeff\n " + JSONL),
    ],
)
def test_the_format_is_found(written, name, content):
    corpus = read_corpus(written(content, name))
    assert [[e.text for e in s.entities] for s in corpus.sentences] == [["Ada"]]


def test_the_format_can_be_said(written):
    assert len(read_corpus(written(JSONL, "a.conll"), format="jsonl")) == 1
    assert len(read_corpus(written("{ O\n", "a.txt"))) == 1


def test_a_missing_file_is_told_its_like(written):
    path = written(CONLL, "train.conll")
    with pytest.raises(CorpusError, match=r"no such file \(did you mean train\.conll\?\)"):
        read_corpus(path.with_name("trian.conl"))
    with pytest.raises(CorpusError, match="there is no "):
        read_corpus(path.parent / "nowhere" / "train.conll")


@pytest.mark.parametrize("content", ["", "\n\n", "# a note\n", "-DOCSTART- O\n"])
def test_an_empty_file_is_an_error(written, content):
    with pytest.raises(CorpusError, match="there are no sentences"):
        read_corpus(written(content))


def test_no_text_at_all_is_an_error(written):
    with pytest.raises(CorpusError, match="there are no sentences"):
        read_corpus(written('{"text": " "}', "a.jsonl"))


def test_options_reach_the_readers(written):
    (sentence,) = read_corpus(written("O ran\n"), word_column=1, tag_column=0).sentences
    assert sentence.words == ("ran",)
    (sentence,) = read_corpus(written('{"text": "l\'homme"}', "a.jsonl"), language="fr").sentences
    assert sentence.words == ("l'", "homme")


def test_the_public_names_exist():
    assert sorted(llamaner.corpus.__all__) == llamaner.corpus.__all__
    assert all(hasattr(llamaner.corpus, name) for name in llamaner.corpus.__all__)
