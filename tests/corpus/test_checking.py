"""What `llamaner check` tells of a corpus."""

import json

import pytest

from llamaner.corpus import check_corpus
from llamaner.errors import CorpusError

TRAIN = """-DOCSTART- O

Ada B-PER
Lovelace I-PER

I I-PER
ran O
I-x I-LOC

Oslo B-LOC
won O

Oslo O
won O

-DOCSTART- O

a I-LOC
Oslo B-Loc
won O

b B-X
"""


def test_a_file_is_measured(written):
    (file,) = check_corpus([written(TRAIN)]).files
    sizes = (file.scheme, file.documents, file.sentences, file.words, file.entities)
    assert sizes == ("BIO", 2, 6, 13, 7)
    assert file.labels == {"LOC": 3, "PER": 2, "Loc": 1, "X": 1}
    assert (file.duplicates, file.conflicts) == (1, 1)
    assert (file.longest[0].line, file.longest[0].words) == (6, 3)


def test_suspicious_tags_are_placed(written):
    report = check_corpus([written(TRAIN)])
    (file,) = report.files
    assert [(s.line, s.found) for s in file.ill_formed] == [
        (6, "I-PER after the start of the sentence"),
        (8, "I-LOC after O"),
        (18, "I-LOC after the start of the sentence"),
    ]
    assert [(s.line, s.found) for s in file.crossing] == [
        (6, "I-PER goes on from I-PER of the sentence before")
    ]
    assert report.case_variants == (("LOC", "Loc"),)
    assert report.rare_labels == ("Loc", "X")


def test_only_the_first_twenty_suspicions_are_kept(written):
    (file,) = check_corpus([written("a B-X\nb I-X\n\n" * 40 + "a I-X\n\n" * 25)]).files
    assert (len(file.ill_formed), file.ill_formed_count) == (20, 25)
    assert (len(file.crossing), file.crossing_count) == (20, 25)


def test_iob1_says_nothing_of_crossing_entities(written):
    (file,) = check_corpus([written("a I-X\n\nb I-X\nc O\n")]).files
    assert (file.scheme, file.crossing_count, file.ill_formed_count) == ("IOB1", 0, 0)


def test_sentences_shared_by_files_are_counted(written):
    first = written("a O\n\nb O\nc O\n", "train.conll")
    second = written("b O\nc O\n\nb O\nc O\n\nd O\n", "dev.conll")
    (overlap,) = check_corpus([first, second]).overlaps
    assert (overlap.first, overlap.second) == (str(first), str(second))
    assert (overlap.sentences, overlap.examples) == (2, ("b c",))


def test_longest_sentences_by_subwords(written):
    path = written("a O\nb O\n\n" + "x" * 30 + " O\n")
    (file,) = check_corpus([path], count_subwords=len).files
    assert [(e.line, e.words, e.subwords) for e in file.longest] == [(4, 1, 30), (1, 2, 3)]


def test_json_lines_have_their_documents_lines(written):
    path = written(
        '\n{"text": "Ada ran. Bo left early."}\n{"text": "F", "entities": [[0,1,"X"]]}\n', "a.jsonl"
    )
    (file,) = check_corpus([path]).files
    assert [(e.line, e.text) for e in file.longest] == [
        (2, "Bo left early."),
        (2, "Ada ran."),
        (3, "F"),
    ]
    assert (file.scheme, file.documents, file.labels) == (None, 2, {"X": 1})


def test_the_report_is_json(written):
    report = check_corpus([written(TRAIN)]).to_dict()
    again = json.loads(json.dumps(report))
    assert again["files"][0]["ill_formed"][0] == {
        "line": 6,
        "found": "I-PER after the start of the sentence",
    }


def test_faults_of_all_files_come_at_once(written):
    paths = [written("a O\nb\nc O\n", "one.conll"), written("x", "two.jsonl"), "missing.conll"]
    with pytest.raises(CorpusError) as caught:
        check_corpus(paths)
    assert [p.line for p in caught.value.problems] == [2, 1, None]


def test_real_files(shared):
    folder = shared / "conll2003"
    train, valid = check_corpus([folder / "train.txt", folder / "valid.txt"]).files
    assert train.labels == {"LOC": 7140, "PER": 6600, "ORG": 6321, "MISC": 3438}
    assert valid.ill_formed_count == train.ill_formed_count == 0
    assert train.longest[0].words == 113
