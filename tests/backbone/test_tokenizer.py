"""Tokenizers that were loaded wrongly are caught; text is never taken for a special token."""

import pytest
from tokenizers import normalizers, pre_tokenizers

from llamaner.backbone.tokenizer import BackboneTokenizer
from llamaner.errors import BackboneError


@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece", "metaspace"])
def test_right_tokenizers_pass(kind, tokenizer_of):
    BackboneTokenizer(tokenizer_of(kind)).check("tiny")


def test_byte_level_loaded_as_metaspace_is_caught(tokenizer_of):
    # What some Transformers 5 releases made of byte-level LLaMA tokenizers (issue 45488).
    wrong = tokenizer_of("byte_level")
    wrong.backend_tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    with pytest.raises(BackboneError, match="loaded wrongly"):
        BackboneTokenizer(wrong).check("tiny")


def test_lost_spaces_are_caught(tokenizer_of):
    wrong = tokenizer_of("byte_level")
    wrong.backend_tokenizer.normalizer = normalizers.Replace(" ", "")
    with pytest.raises(BackboneError, match="came back as"):
        BackboneTokenizer(wrong).check("tiny")


def test_a_vocabulary_without_pieces_for_english_is_caught(tokenizer_of):
    wrong = tokenizer_of("metaspace")
    wrong.backend_tokenizer.normalizer = normalizers.Replace("e", "\U0001f9ea")
    with pytest.raises(BackboneError, match="loaded wrongly"):
        BackboneTokenizer(wrong).check("tiny")


@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece"])
def test_special_tokens_in_the_text_are_text(kind, tokenizer_of):
    raw = tokenizer_of(kind)
    ids = BackboneTokenizer(raw)(["a </s> b"])[0].ids
    assert raw.eos_token_id not in ids


def test_lone_surrogates_are_read_as_replacement_characters(tokenizer_of):
    tokenizer = BackboneTokenizer(tokenizer_of("byte_level"))
    lone, replaced = tokenizer(["a \ud800 b", "a \ufffd b"])
    assert lone.ids.tolist() == replaced.ids.tolist()


def test_a_slow_tokenizer_is_refused(tmp_path):
    with pytest.raises(BackboneError, match="tokenizer"):
        BackboneTokenizer.load(tmp_path)
