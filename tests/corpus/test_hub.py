"""Data sets made on the spot; nothing is fetched."""

import logging
import sys

import pytest

from llamaner.corpus import read_corpus, read_dataset
from llamaner.errors import CorpusError

datasets = pytest.importorskip("datasets")

NAMES = ["O", "B-PER", "I-PER", "B-LOC"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def make(tags_feature=None, **columns):
    features = None
    if tags_feature is not None:
        kinds = {name: datasets.Value("string") for name in columns}
        kinds |= {"tokens": datasets.List(datasets.Value("string")), "ner_tags": tags_feature}
        features = datasets.Features(kinds)
    return datasets.Dataset.from_dict(columns, features=features)


def integers(**columns):
    rows = {
        "tokens": [["Ada", "Lovelace"], ["in", "Oslo"], ["no"]],
        "ner_tags": [[1, 2], [0, 3], [0]],
    }
    return make(datasets.List(datasets.ClassLabel(names=NAMES)), **rows, **columns)


def spans(corpus):
    return [[(e.text, e.label) for e in s.entities] for s in corpus.sentences]


EXPECTED = [[("Ada Lovelace", "PER")], [("Oslo", "LOC")], []]


def test_a_folder_of_save_to_disk_with_integer_tags(tmp_path):
    integers().save_to_disk(tmp_path / "saved")
    corpus = read_corpus(tmp_path / "saved")
    assert spans(corpus) == EXPECTED
    assert (len(corpus), corpus.scheme) == (1, "BIO")


def test_splits_are_named(tmp_path):
    parts = datasets.DatasetDict({"train": integers(), "test": integers()})
    parts.save_to_disk(tmp_path / "saved")
    assert spans(read_corpus(f"{tmp_path}/saved:test")) == EXPECTED
    with pytest.raises(CorpusError, match=r"several splits \(name one of train, test\)"):
        read_corpus(tmp_path / "saved")
    with pytest.raises(CorpusError, match=r"no split 'dev'"):
        read_corpus(f"{tmp_path}/saved:dev")


def test_parquet_files_keep_the_names_and_json_files_have_them(tmp_path):
    (tmp_path / "p").mkdir()
    integers().to_parquet(tmp_path / "p" / "train.parquet")
    assert spans(read_corpus(tmp_path / "p")) == EXPECTED
    assert spans(read_corpus(tmp_path / "p" / "train.parquet")) == EXPECTED
    (tmp_path / "j").mkdir()
    make(words=[["Ada", "ran"]], labels=[["U-PER", "O"]]).to_json(tmp_path / "j" / "train.jsonl")
    assert spans(read_corpus(tmp_path / "j")) == [[("Ada", "PER")]]


def test_document_ids_make_documents(tmp_path):
    integers(doc_id=["a", "a", "b"]).save_to_disk(tmp_path / "saved")
    documents = read_corpus(tmp_path / "saved").documents
    assert [(d.id, len(d)) for d in documents] == [("a", 2), ("b", 1)]


def test_columns_can_be_named(tmp_path):
    make(w=[["Ada"]], t=[["B-X"]], d=["1"]).save_to_disk(tmp_path / "saved")
    options = {"words_column": "w", "tags_column": "t", "document_column": "d"}
    assert spans(read_dataset(tmp_path / "saved", **options)) == [[("Ada", "X")]]
    with pytest.raises(CorpusError, match="no column of words among w, t, d"):
        read_dataset(tmp_path / "saved")
    with pytest.raises(CorpusError, match="no column 'q'"):
        read_dataset(tmp_path / "saved", words_column="q")


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (
            {"tokens": [["a"], ["b"]], "tags": [[0], [1]]},
            "row 1: 1 is not a tag (make the column a",
        ),
        ({"tokens": [["a"]], "tags": [["PER"]]}, "row 0: 'PER' is not a tag (mend"),
        ({"tokens": [["a", "b"]], "tags": [["O"]]}, "row 0: 2 words without a tag each"),
        ({"tokens": [["a", ""]], "tags": [["O", "O"]]}, "row 0: the words are not a list of"),
        ({"tokens": ["a b"], "tags": [["O", "O"]]}, "row 0: the words are not a list of"),
        ({"tokens": [["a"]] * 3, "tags": [["E-X"], ["B-X"], ["B-X"]]}, "'E-X' is not a tag of BIO"),
    ],
)
def test_faults_of_rows_are_named(tmp_path, columns, found):
    make(**columns).save_to_disk(tmp_path / "saved")
    with pytest.raises(CorpusError) as caught:
        read_corpus(tmp_path / "saved")
    assert found in str(caught.value)


def test_a_hub_id_with_a_script_is_read_from_its_parquet_conversion(monkeypatch, caplog):
    asked = []

    def load_dataset(name, configuration, *, split, revision):
        asked.append((name, configuration, split, revision))
        if revision is None:
            raise RuntimeError("Dataset scripts are no longer supported, but found conll2003.py")
        return integers()

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with caplog.at_level(logging.WARNING):
        corpus = read_corpus("hf:eriktks/conll2003:train")
    assert spans(corpus) == EXPECTED
    assert [revision for *_, revision in asked] == [None, "refs/convert/parquet"]
    assert "reading its revision refs/convert/parquet" in caplog.text
    read_corpus("hf:a/b/c@v1:dev")
    assert asked[-1] == ("a/b", "c", "dev", "v1")
    read_corpus("a/b", format="dataset")
    assert asked[-1] == ("a/b", None, None, "refs/convert/parquet")


def test_what_the_library_raises_is_told(tmp_path, monkeypatch):
    def load_dataset(*_, **__):
        raise ConnectionError("no\nnetwork")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(CorpusError, match="a/b: cannot be loaded: no network"):
        read_corpus("hf:a/b")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="cannot be loaded"):
        read_corpus(tmp_path / "empty")


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(CorpusError, match=r'pip install "llamaner\[datasets\]"'):
        read_corpus("hf:a/b")


@pytest.mark.parametrize("name", ["hf:", "hf:a/b/c/d", "hf:a//b", "hf:a@:x", "hf:a:b:c"])
def test_names_that_are_none_are_refused(name):
    with pytest.raises(CorpusError, match="not the name of a data set"):
        read_corpus(name)
