"""What runs learn from in tests."""

import pytest

from llamaner.corpus import Corpus, sample_corpus, write_conll


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """A small training and dev corpus."""
    folder = tmp_path_factory.mktemp("corpora")
    for split, count in (("train", 30), ("dev", 8)):
        documents = sample_corpus(split).documents[:count]
        write_conll(Corpus(documents, "BIO"), folder / f"{split}.conll")
    return folder
