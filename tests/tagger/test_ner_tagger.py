"""From text to entities, saved and loaded, with exact offsets for any text."""

import json
import shutil
import weakref

import pytest
import torch
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from llamaner.configuration import HeadSettings
from llamaner.corpus import Document, Sentence, segment
from llamaner.errors import TaggerError
from llamaner.tagger import NerTagger


@pytest.fixture(scope="module")
def tagger(tiny_backbone, sample):
    torch.manual_seed(3)
    words = [word for sentence in sample("dev").sentences for word in sentence.words]
    head = HeadSettings(lstm_width=16, character_width=8)
    tagger = NerTagger.create(tiny_backbone, ["PER", "LOC"], words, head=head)
    with torch.no_grad():  # an untrained tagger that finds a lot
        tagger.network.emit.bias[1:] += 0.3
        tagger.network.emit.weight *= 20
    return tagger


@pytest.fixture
def saved(tagger, tmp_path):
    tagger.save_pretrained(tmp_path / "tagger")
    return tmp_path / "tagger"


TEXT = "Ana Lučić flew to Paris. Nobody followed.\n\nHEADLINE\n\nJordan won."


def test_offsets_are_those_of_the_text_given(tagger):
    entities = tagger.tag(TEXT)
    assert entities
    for entity in entities:
        assert TEXT[entity.start : entity.end] == entity.text
        assert 0 < entity.confidence <= 1


@hypothesis_settings(max_examples=60)
@given(st.text(max_size=120))
@example("")
@example(" \r\n ")
@example("x" * 10_000)
@example("👩‍🚀👩‍🚀 e\u0301\u200b שלום\u00a0\ufeff\r\nnaïve ﬁ")
@example("\ud800 lone surrogate")
def test_any_text(tagger, text):
    words = sum(len(sentence) for sentence in segment(text))
    for entity in tagger.tag(text):
        assert text[entity.start : entity.end] == entity.text
        assert 0 <= entity.word_start < entity.word_end <= words
        assert 0 <= entity.confidence <= 1


def test_a_text_several_texts_and_words(tagger):
    one = tagger.tag(TEXT)
    first, empty, second = tagger.tag([TEXT, "", TEXT])
    assert empty == []
    for found in (first, second):
        # Other batches round float16 features otherwise, which an untrained tagger magnifies.
        assert [e.confidence for e in found] == pytest.approx([e.confidence for e in one], abs=0.1)
        assert [(e.label, e.start, e.end) for e in found] == [
            (e.label, e.start, e.end) for e in one
        ]
    words = ["Ana", "Lučić", "flew", "to", "Paris", "."]
    (by_words,) = tagger.tag([words])
    joined = " ".join(words)
    assert all(joined[entity.start : entity.end] == entity.text for entity in by_words)
    assert tagger.tag([]) == []
    assert len(tagger.tag(iter([TEXT, TEXT]))) == 2
    assert len(tagger.tag(words for words in [words])) == 1
    with pytest.raises(TypeError, match="mixture"):
        tagger.tag(["text", ["words"]])


def test_confidence_is_the_crfs(tagger):
    sentence = Sentence.from_words(["Ana", "Lučić", "flew", "to", "Paris", "."])
    (tagged,) = tagger.tag_sentences([sentence])
    (vectors,) = (v for _, v in tagger.backbone.embed([sentence]))
    batch = tagger.batch([sentence], [vectors])
    with torch.no_grad():
        emissions = tagger.network.eval().emissions(batch)
        drawn = tagger.network.crf.sample(emissions, batch.mask(), 4000)[0]
    names = tagger.network.crf.tags
    for entity in tagged.entities:
        alone = sentence.with_entities([tagged.label_spans[tagged.entities.index(entity)]])
        wanted = torch.tensor([names.index(tag) for tag in alone.tags("BIOES")])
        inside = slice(entity.word_start, entity.word_end)
        share = (drawn[:, inside] == wanted[inside]).all(1).float().mean().item()
        assert share == pytest.approx(entity.confidence, abs=0.04)


def test_features_give_the_same_as_text(tagger, sample):
    sentences = [*list(sample("dev").sentences)[:20], Sentence("", ())]
    found = dict(tagger.backbone.embed(sentences))
    features = [found.get(i) for i in range(len(sentences))]
    from_features = tagger.tag_features(sentences, features)
    from_text = tagger.tag_sentences(sentences)
    assert [s.label_spans for s in from_features] == [s.label_spans for s in from_text]


def test_a_stream_of_documents_keeps_order_and_threshold(tagger, monkeypatch):
    monkeypatch.setattr("llamaner.tagger.ner_tagger._WORDS_IN_STREAM", 10)
    documents = [Document(TEXT, segment(TEXT), str(i)) for i in range(5)]
    streamed = list(tagger.tag_stream(iter(documents)))
    assert [d.id for d in streamed] == ["0", "1", "2", "3", "4"]
    assert all(d.entities == streamed[0].entities for d in streamed)
    (strict,) = tagger.tag_stream(iter(documents[:1]), min_confidence=0.9)
    assert strict.entities == tuple(e for e in streamed[0].entities if e.confidence >= 0.9)


def test_a_stream_holds_no_document_that_was_handed_over(tagger, monkeypatch):
    monkeypatch.setattr("llamaner.tagger.ner_tagger._WORDS_IN_STREAM", 60)
    given, taken = [], []

    def documents():
        for number in range(40):
            document = Document(TEXT, segment(TEXT), str(number))
            given.append(weakref.ref(document))
            yield document

    for tagged in tagger.tag_stream(documents()):
        # At the most the last one, which closed the part.
        assert sum(document() is not None for document in given) <= 1
        assert all(document() is None for document in taken)
        taken.append(weakref.ref(tagged))
        del tagged
    assert len(taken) == len(given) == 40


def test_save_and_load_give_the_same_tagger(tagger, saved):
    assert {path.name for path in saved.iterdir()} == {"config.json", "model.safetensors"}
    loaded = NerTagger.from_pretrained(saved)
    assert loaded.tag(TEXT) == tagger.tag(TEXT)
    assert loaded.labels == ("LOC", "PER")


def test_settings_of_the_machine_may_change(saved):
    loaded = NerTagger.from_pretrained(saved, token_budget=64)
    assert loaded.backbone.settings.token_budget == 64


def test_another_backbone_is_refused(saved, model_folder, tmp_path):
    copy = shutil.copytree(model_folder, tmp_path / "other")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.1}))
    loaded = NerTagger.from_pretrained(saved, model=str(copy))
    with pytest.raises(TaggerError, match="is not the one"):
        loaded.tag("text")


def test_what_is_missing_or_damaged_is_named(saved, tmp_path):
    with pytest.raises(TaggerError, match="no such folder"):
        NerTagger.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(TaggerError, match=r"lacks config\.json"):
        NerTagger.from_pretrained(tmp_path)
    weights = saved / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[: len(data) // 2])
    with pytest.raises(TaggerError, match="damaged"):
        NerTagger.from_pretrained(saved)
    weights.write_bytes(data)
    with pytest.raises(TaggerError, match="fixed when the tagger was trained"):
        NerTagger.from_pretrained(saved, layers=(1, 2))
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**config, "labels": ["LOC"]}))
    with pytest.raises(TaggerError, match="do not fit"):
        NerTagger.from_pretrained(saved)
    (saved / "config.json").write_text(json.dumps({**config, "labels": ["LOC", "LOC"]}))
    with pytest.raises(TaggerError, match="do not fit"):
        NerTagger.from_pretrained(saved)
    (saved / "config.json").write_text('{"labels": []}')
    with pytest.raises(TaggerError, match=r"config\.json"):
        NerTagger.from_pretrained(saved)
