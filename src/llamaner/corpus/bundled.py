"""The sample corpus that comes with the package: short news-like texts written for it (CC0)."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Literal

from llamaner.corpus.conll import read_conll
from llamaner.corpus.types import Corpus

Split = Literal["train", "dev", "test"]


def sample_path(split: Split) -> Path:
    """Where a part of the sample corpus lies, a file of words and BIO tags."""
    return Path(str(files("llamaner.corpus"))) / "sample" / f"{split}.conll"


def sample_corpus(split: Split) -> Corpus:
    """A part of the sample corpus."""
    return read_conll(sample_path(split))
