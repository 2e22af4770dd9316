"""Corpora: entities in sentences in documents, read from and written to files, and checked."""

from llamaner.corpus.bundled import sample_corpus, sample_path
from llamaner.corpus.checking import CorpusReport, FileReport, check_corpus
from llamaner.corpus.conll import read_conll, write_conll
from llamaner.corpus.hub import read_dataset
from llamaner.corpus.jsonl import read_jsonl, write_jsonl
from llamaner.corpus.reading import Format, corpus_name, read_corpus
from llamaner.corpus.schemes import LabelSpan, Scheme, decode, encode, recognise
from llamaner.corpus.segmentation import segment
from llamaner.corpus.size import CorpusSize, corpus_size
from llamaner.corpus.types import Corpus, Document, Entity, Sentence

__all__ = [
    "Corpus",
    "CorpusReport",
    "CorpusSize",
    "Document",
    "Entity",
    "FileReport",
    "Format",
    "LabelSpan",
    "Scheme",
    "Sentence",
    "check_corpus",
    "corpus_name",
    "corpus_size",
    "decode",
    "encode",
    "read_conll",
    "read_corpus",
    "read_dataset",
    "read_jsonl",
    "recognise",
    "sample_corpus",
    "sample_path",
    "segment",
    "write_conll",
    "write_jsonl",
]
