"""With context a word is read among its document's neighbours, and nobody else's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from transformers import AutoModel, AutoTokenizer

from llamaner.backbone import Backbone, FeatureStore, passages
from llamaner.corpus import Document, Sentence
from llamaner.errors import ConfigurationError

TOLERANCE = 4e-3  # float16 of values around 1 to 5


def document(*texts, **changes):
    made = Document.from_sentences([Sentence.from_words(text.split()) for text in texts])
    return replace(made, **changes)


def embedded(backbone, documents):
    found = dict(backbone.embed_sentences(documents))
    count = sum(len(document) for document in documents)
    return [found.get(index) for index in range(count)]


@pytest.fixture
def with_context(model_folder, settings_of):
    def make(context, **changes):
        values = {"window": 64, "overlap": None, "repeat": 0, "context": context, **changes}
        return Backbone(settings_of(model_folder, **values))

    return make


def test_the_vectors_are_those_of_the_document_read_as_one_text(with_context, model_folder):
    given = document("Leeds won .", "Nobody saw it in Leeds .")
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    encoding = tokenizer.backend_tokenizer.encode(given.text, add_special_tokens=False)
    model = AutoModel.from_pretrained(model_folder, dtype=torch.float32).eval()
    states = {}
    for number, block in enumerate(model.layers, 1):
        block.register_forward_hook(lambda _, __, out, n=number: states.update({n: out[0]}))
    with torch.no_grad():
        model(torch.tensor([[tokenizer.bos_token_id, *encoding.ids]]))
    vectors = embedded(with_context(16, pooling="last"), [given])
    for sentence, found in zip(given.sentences, vectors, strict=True):
        for word, (_, end) in enumerate(sentence.spans):
            end += sentence.start
            last = max(i for i, (a, b) in enumerate(encoding.offsets) if a < end <= b)
            expected = torch.stack([states[layer][last + 1] for layer in (1, 3)])
            expected -= expected.mean(-1, keepdim=True)
            expected /= (expected.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
            np.testing.assert_allclose(found[word], expected, atol=TOLERANCE)


def test_neighbours_in_the_document_matter_and_neighbours_in_the_batch_do_not(with_context):
    backbone = with_context(16)
    here = document("Leeds won .", "Nobody saw it .")
    there = document("York won .", "Nobody saw it .")
    in_leeds, in_york = embedded(backbone, [here])[1], embedded(backbone, [there])[1]
    assert np.abs(in_leeds - in_york).max() > 10 * TOLERANCE
    company = [document("something else entirely ."), there, here, document("more")]
    np.testing.assert_allclose(embedded(backbone, company)[4], in_leeds, atol=TOLERANCE)


def test_sentences_that_nobody_said_belong_together_are_read_alone(with_context):
    backbone = with_context(16)
    apart = document("Leeds won .", "Nobody saw it .", coherent=False)
    alone = embedded(backbone, [document("Nobody saw it .")])[0]
    np.testing.assert_allclose(embedded(backbone, [apart])[1], alone, atol=TOLERANCE)


def test_without_context_sentences_are_read_alone(with_context):
    backbone = with_context(0)
    together = embedded(backbone, [document("Leeds won .", "Nobody saw it .")])
    alone = embedded(backbone, [document("Nobody saw it .")])[0]
    np.testing.assert_allclose(together[1], alone, atol=TOLERANCE)


@hypothesis_settings(max_examples=40)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=12),
    st.integers(1, 11),
    st.integers(24, 40),
    st.integers(5, 60),
)
def test_every_word_has_its_context_or_the_end_of_the_document(
    model_folder, settings_of, lengths, context, window, stretch
):
    settings = settings_of(model_folder, window=window, overlap=None, repeat=0, context=context)
    backbone = Backbone(settings)
    texts = (" ".join(f"w{i}x{j}" for j in range(n)) for i, n in enumerate(lengths))
    given = document(*texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passages, "STRETCH_WORDS", stretch)
        read = backbone.passages([given])
    assert sum(len(passage) for passage in read) == sum(lengths)
    whole = backbone.tokenizer([given.text])[0].ids.tolist()
    for row in backbone.rows(read):
        ids = row.ids[1:].tolist()  # without the beginning-of-text
        start = next(i for i in range(len(whole)) if whole[i : i + len(ids)] == ids)
        for subword in row.pooling.subwords - 1:
            assert subword >= min(context, start + subword)
            assert len(ids) - 1 - subword >= min(context, len(whole) - 1 - start - subword)


def test_long_documents_keep_every_word(with_context):
    backbone = with_context(16)
    given = document(*["the number of words is large ."] * 400)
    found = embedded(backbone, [given])
    assert [len(vectors) for vectors in found] == [7] * 400
    assert all(np.isfinite(vectors).all() for vectors in found)


def test_the_store_knows_the_context(with_context, tmp_path):
    backbone, store = with_context(16), FeatureStore(tmp_path)
    documents = [document("Leeds won .", "", "Nobody saw it ."), document("", "York lost .")]
    for _ in range(2):
        features = store.document_features(backbone, documents)
        assert [len(vectors) for vectors in features] == [3, 0, 4, 0, 3]
        for vectors, expected in zip(features, embedded(backbone, documents), strict=True):
            if len(vectors):
                np.testing.assert_allclose(vectors, expected, atol=TOLERANCE)
    other = store.document_features(backbone, [document("York won .", "Nobody saw it .")])
    assert np.abs(other[1] - features[2]).max() > 10 * TOLERANCE


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"overlap": 16}, r"overlap \(16\) must be twice the context \(16\)"),
        ({"context": 40}, r"overlap \(80\) \(twice the context\) must be smaller than window"),
    ],
)
def test_windows_that_cannot_hold_the_context_are_refused(with_context, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        with_context(**{"context": 16, **settings})
