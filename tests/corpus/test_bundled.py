"""The sample corpus that ships with the package."""

import pytest

from llamaner.corpus import check_corpus, sample_corpus, sample_path


def test_the_sample_is_as_large_as_promised():
    parts = [sample_corpus(split) for split in ("train", "dev", "test")]
    assert sum(len(part) for part in parts) >= 80
    assert sum(len(list(part.sentences)) for part in parts) >= 400
    assert all(part.labels == ("LOC", "MISC", "ORG", "PER") for part in parts)


def test_the_sample_passes_its_own_check():
    report = check_corpus([sample_path(split) for split in ("train", "dev", "test")])
    assert report.overlaps == ()
    assert report.case_variants == ()
    assert [f.ill_formed_count + f.crossing_count + f.conflicts for f in report.files] == [0, 0, 0]


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_the_sample_is_a_file(split):
    assert sample_path(split).read_text(encoding="utf-8").startswith("-DOCSTART- O\n\n")
