"""The tagger that comes with the package is whole, and finds what anyone would expect."""

import pytest

from llamaner import NerTagger
from llamaner.errors import TaggerError
from llamaner.tagger import shipped, shipped_tagger


def test_it_finds_the_plain_cases():
    tagger = NerTagger.from_pretrained(shipped_tagger())
    found = tagger.tag("Amira Haddad of the Nordwind Institute flew from Oslo to Nairobi.")
    assert [(e.text, e.label) for e in found] == [
        ("Amira Haddad", "PER"),
        ("Nordwind Institute", "ORG"),
        ("Oslo", "LOC"),
        ("Nairobi", "LOC"),
    ]
    assert all(entity.confidence > 0.5 for entity in found)


def test_it_is_small_and_tells_no_paths():
    folder = shipped_tagger()
    assert sum(file.stat().st_size for file in folder.iterdir()) < 25 * 2**20
    config = NerTagger.from_pretrained(folder).config
    assert "/" not in config.training["train"] + config.backbone.model


def test_an_installation_without_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(shipped, "_PACKAGE", tmp_path / "a" / "b")
    with pytest.raises(TaggerError, match="not in this installation"):
        shipped_tagger()
