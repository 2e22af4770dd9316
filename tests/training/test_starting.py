"""Runs that go on from a tagger, and documents that are learnt from sentence by sentence, too."""

import pytest
import torch

from llamaner.backbone import Backbone
from llamaner.configuration import (
    BackboneSettings,
    HeadSettings,
    LoraSettings,
    TrainingConfiguration,
)
from llamaner.corpus import (
    Corpus,
    Document,
    Sentence,
    read_corpus,
    segment,
    write_conll,
    write_jsonl,
)
from llamaner.corpus.types import LabelSpan
from llamaner.errors import ConfigurationError
from llamaner.tagger import NerTagger
from llamaner.training import train
from llamaner.training.data import copies_read_alone
from llamaner.training.starting import first_tagger, settings_to_go_on_with


@pytest.fixture(scope="module")
def configured(corpora, model_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("taggers")

    def make(name, **changes):
        values = {
            "train": str(corpora / "train.conll"),
            "dev": str(corpora / "dev.conll"),
            "output": folder / name,
            "store": corpora / "store",
            "epochs": 1,
            "batch_size": 8,
            "learning_rate": 5e-3,
            "report": False,
            "adapt": "lora",
            "lora": LoraSettings(rank=4, first_block=3, learning_rate=5e-3),
            "backbone": BackboneSettings(
                model=str(model_folder), precision="float32", device="cpu", layers=(2, 4), repeat=0
            ),
            "head": HeadSettings(lstm_width=16, character_width=16),
        }
        return TrainingConfiguration(**{**values, **changes})

    return make


@pytest.fixture(scope="module")
def adapted(configured):
    """The folder of a tagger with an adapter."""
    configuration = configured("adapted")
    train(configuration)
    return configuration.output


def going_on(configured, name, folder, **changes):
    plain = {"backbone": BackboneSettings(), "head": HeadSettings(), "lora": LoraSettings()}
    return configured(name, start_from=folder, **{**plain, **changes})


def sentences(corpora):
    return list(read_corpus(corpora / "train.conll").sentences)


def test_it_begins_with_what_was_learnt(configured, adapted, corpora):
    learnt = NerTagger.from_pretrained(adapted)
    configuration = going_on(configured, "frozen", adapted, adapt="none")
    settled = settings_to_go_on_with(configuration)
    assert settled.backbone.layers == (2, 4)
    assert settled.head.lstm_width == 16
    first = first_tagger(settled, sentences(corpora))
    for name, weight in first.network.state_dict().items():
        assert torch.equal(weight, learnt.network.state_dict()[name])
    document = read_corpus(corpora / "dev.conll").documents[0]
    assert first.tag_documents([document]) == learnt.tag_documents([document])


@pytest.mark.parametrize("adapt", ["lora", "none"])
def test_it_goes_on_and_keeps_the_adapter(configured, adapted, corpora, adapt):
    configuration = going_on(configured, f"further-{adapt}", adapted, adapt=adapt)
    result = train(configuration)
    before, after = (NerTagger.from_pretrained(f) for f in (adapted, configuration.output))
    changed = any(
        not torch.equal(weight, after.adapter.weights[name])
        for name, weight in before.adapter.weights.items()
    )
    assert changed == (adapt == "lora")
    assert after.adapter.settings.rank == 4
    assert not torch.equal(before.network.emit.weight, after.network.emit.weight)
    assert result.history[0]["loss"] < train(configured(f"anew-{adapt}")).history[0]["loss"]
    assert after.config.training["settings"]["start_from"] == "adapted"


def test_labels_that_were_learnt_before_can_be_found(configured, adapted, tmp_path, capsys):
    person = Sentence.from_words(["Ana", "ran"], [LabelSpan("PER", 0, 1)])
    write_conll(Corpus([Document.from_sentences([person] * 9)], "BIO"), tmp_path / "few.conll")
    train(going_on(configured, "few", adapted, train=str(tmp_path / "few.conll"), adapt="none"))
    assert "cannot be found" not in capsys.readouterr().err


def test_other_labels_and_settings_are_refused(configured, adapted, corpora, tmp_path):
    other = Sentence.from_words(["Oslo"], [LabelSpan("CITY", 0, 1)])
    write_conll(Corpus([Document.from_sentences([other])], "BIO"), tmp_path / "other.conll")
    with pytest.raises(ConfigurationError, match="does not have the label CITY of the training"):
        train(going_on(configured, "x", adapted, train=str(tmp_path / "other.conll")))
    with pytest.raises(ConfigurationError, match=r"trained with lstm_width = 16, not 32; leave"):
        train(going_on(configured, "x", adapted, head=HeadSettings(lstm_width=32)))
    with pytest.raises(ConfigurationError, match=r"trained with rank = 4, not 32; leave"):
        train(going_on(configured, "x", adapted, lora=LoraSettings(rank=32)))
    with pytest.raises(ConfigurationError, match=r"trained with repeat = 0, not 1; leave"):
        train(going_on(configured, "x", adapted, backbone=BackboneSettings(repeat=1)))


TEXT = "Ana Novak flew to Paris. Nobody followed (not even Tom)."


def test_a_tagger_of_columns_reads_any_text_as_columns(adapted):
    tagger = NerTagger.from_pretrained(adapted)
    assert tagger.config.backbone.spacing == "words"
    spaced = TEXT.replace(" ", " \u00a0\n").replace("(", " ( ")
    given = [Document(text, segment(text)) for text in (TEXT, spaced)]
    one, other = tagger.tag_documents(given)
    assert [(e.word_start, e.word_end, e.label) for e in one.entities] == [
        (e.word_start, e.word_end, e.label) for e in other.entities
    ]
    assert [p.text for p in tagger.backbone.passages(given[:1])] == [
        p.text for p in tagger.backbone.passages(given[1:])
    ]
    assert all(spaced[e.start : e.end] == e.text for e in other.entities)


def test_a_tagger_of_texts_reads_them_as_they_are(configured, tmp_path):
    (sentence, *others) = segment(TEXT)
    document = Document(TEXT, (sentence.with_entities([LabelSpan("PER", 0, 2)]), *others))
    with (tmp_path / "texts.jsonl").open("w", encoding="utf-8") as file:
        write_jsonl(Corpus((document, document)), file)
    texts = {"train": str(tmp_path / "texts.jsonl"), "dev": str(tmp_path / "texts.jsonl")}
    tagger = train(configured("texts", adapt="none", **texts)).tagger
    assert tagger.config.backbone.spacing == "text"
    assert [passage.text for passage in tagger.backbone.passages([document])] == [TEXT]
    asked = configured("x").backbone.model_copy(update={"spacing": "words"})
    tagger = train(configured("asked", adapt="none", backbone=asked, **texts)).tagger
    assert tagger.config.backbone.spacing == "words"


def test_lora_begins_below_the_lowest_layer_of_a_frozen_tagger(configured):
    def frozen_with(name, layers):
        backbone = configured("x").backbone.model_copy(update={"layers": layers})
        frozen = configured(name, adapt="none", backbone=backbone)
        train(frozen)
        return frozen

    high = frozen_with("frozen-high", (4,))
    settled = settings_to_go_on_with(going_on(configured, "above", high.output))
    assert settled.lora.first_block == 3  # the usual one, though all from 5 on would do
    frozen = frozen_with("frozen-low", (0, 4))
    further = train(going_on(configured, "lower", frozen.output, learning_rate=1e-9, alone=0.0))
    assert further.tagger.adapter.settings.first_block == 1
    # What is judged while the blocks run is what the saved tagger finds.
    assert further.history[-1]["dev_f1"] == pytest.approx(further.evaluation.strict.overall.f1)
    with pytest.raises(ConfigurationError, match=r"layers from 3 on can be used, not 0"):
        train(going_on(configured, "x", frozen.output, lora=LoraSettings(first_block=4)))


def test_blocks_above_those_that_are_read_cannot_be_adapted(configured):
    lora = LoraSettings(rank=4, first_block=4)
    backbone = configured("x").backbone.model_copy(update={"layers": (3,)})
    with pytest.raises(ConfigurationError, match="blocks from 4 on are adapted, and none above 3"):
        train(configured("x", lora=lora, backbone=backbone))


def test_sentences_that_are_read_alone_anyway_are_not_copied(configured, capsys):
    alone = configured("x").backbone.model_copy(update={"overlap": 0})
    result = train(configured("overlap-0", adapt="none", alone=1.0, backbone=alone))
    assert result.tagger.backbone.reading.context == 0
    steps = train(configured("overlap-0-without", adapt="none", alone=0.0, backbone=alone))
    assert result.history[0]["loss"] == steps.history[0]["loss"]


def test_copies_are_read_sentence_by_sentence(configured, corpora):
    documents = read_corpus(corpora / "train.conll").documents
    copies = copies_read_alone(documents, 1.0)
    long = [document for document in documents if len(document.sentences) > 1]
    assert [copy.sentences for copy in copies] == [document.sentences for document in long]
    backbone = Backbone(configured("x").backbone)
    assert len(backbone.passages(copies)) == sum(len(copy.sentences) for copy in copies)
    some = copies_read_alone(documents, 0.5)
    assert 0 < len(some) < len(copies)
    assert some == copies_read_alone(documents, 0.5)
