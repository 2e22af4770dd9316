"""Vectors equal what Transformers computes, one sentence at a time and without shortcuts."""

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from transformers import AutoModel, AutoTokenizer

from llamaner.backbone import Backbone, LowerStates
from llamaner.backbone.blocks import choose_layers, choose_precision
from llamaner.backbone.source import find_model
from llamaner.configuration import BackboneSettings
from llamaner.corpus import Sentence, segment
from llamaner.errors import BackboneError, ConfigurationError

TEXTS = (
    "EU rejects German call to boycott British lamb .",
    "Łódź and São Tomé met 北京 👩‍🚀 .",
    "One",
)
TOLERANCE = 4e-3  # float16 of values around 1 to 5


def sentences(texts=TEXTS):
    return [Sentence.from_words(text.split(" ")) for text in texts]


def vectors(backbone, given):
    found = dict(backbone.embed(given))
    return [found.get(i) for i in range(len(given))]


def oracle(folder, text, spans, layers, pooling, repeat):
    """The same by hand: no batch, no hooks, no numpy alignment, all blocks."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encode = tokenizer.backend_tokenizer.encode
    encoding = encode(text, add_special_tokens=False)
    newline = encode("\n", add_special_tokens=False).ids
    ids = [tokenizer.bos_token_id] + (encoding.ids + newline) * repeat + encoding.ids
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    states = {}
    for number, block in enumerate(model.layers, 1):
        block.register_forward_hook(lambda _, __, out, n=number: states.update({n: out}))
    with torch.no_grad():
        model(torch.tensor([ids]))
    words = []
    for start, end in spans:
        mine = [i for i, (a, b) in enumerate(encoding.offsets) if a < end and b > start]
        picked = {"last": mine[-1:], "first": mine[:1], "mean": mine}[pooling]
        rows = [len(ids) - len(encoding.ids) + i for i in picked]
        words.append(torch.stack([states[layer][0, rows].mean(0) for layer in layers]))
    stacked = torch.stack(words)
    centred = stacked - stacked.mean(-1, keepdim=True)
    return (centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()).numpy()


@pytest.mark.parametrize("pooling", ["last", "first", "mean"])
@pytest.mark.parametrize("repeat", [0, 1, 2])
def test_vectors_equal_the_oracle(any_model_folder, settings_of, pooling, repeat):
    backbone = Backbone(
        settings_of(any_model_folder, pooling=pooling, repeat=repeat, layers=(1, 3))
    )
    given = sentences()
    for sentence, found in zip(given, vectors(backbone, given), strict=True):
        expected = oracle(any_model_folder, sentence.text, sentence.spans, (1, 3), pooling, repeat)
        np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def test_equal_passages_are_read_once(model_folder, settings_of):
    backbone, read = Backbone(settings_of(model_folder)), []
    backbone.blocks.register_forward_pre_hook(lambda _, args: read.extend(args[1].tolist()))
    one, other, third = sentences()
    # The same characters in other words have vectors of their own.
    divided = Sentence(one.text, tuple((i, i + 1) for i in range(len("EU"))))
    found = vectors(backbone, [one, other, one, divided, third, Sentence("", ()), one])
    assert len(read) == 4
    assert found[5] is None
    assert len(found[3]) == 2
    for index in (2, 6):
        np.testing.assert_array_equal(found[index], found[0])
    for sentence, alone in ((one, found[0]), (other, found[1]), (divided, found[3])):
        np.testing.assert_allclose(alone, vectors(backbone, [sentence])[0], atol=TOLERANCE)


def test_a_causal_model_without_repeat_does_not_see_what_follows(model_folder, settings_of):
    alone = Backbone(settings_of(model_folder, repeat=0))
    a, b = vectors(alone, sentences(["The bank of England", "The bank of Ireland"]))
    np.testing.assert_allclose(a[:3], b[:3], atol=TOLERANCE)
    twice = Backbone(settings_of(model_folder, repeat=1))
    a, b = vectors(twice, sentences(["The bank of England", "The bank of Ireland"]))
    assert np.abs(a[:3] - b[:3]).max() > 10 * TOLERANCE


def test_a_sentence_has_the_same_vectors_in_any_company(tiny_backbone, sample):
    given = list(sample("dev").sentences)[:40]
    together = vectors(tiny_backbone, given)
    for index in (0, 7, 23):
        alone = vectors(tiny_backbone, [given[index]])[0]
        np.testing.assert_allclose(alone, together[index], atol=TOLERANCE)


@pytest.mark.parametrize("reader", [lambda b: b, lambda b: LowerStates(b, 2)])
def test_many_words_are_read_part_by_part(model_folder, settings_of, sample, monkeypatch, reader):
    backbone = Backbone(settings_of(model_folder))
    given = [*list(sample("dev").sentences)[:30], Sentence("", ())]
    whole, counted = dict(reader(backbone).embed(given)), reader(backbone).counts(given)
    read, rows = [], Backbone.rows
    monkeypatch.setattr(Backbone, "rows", lambda b, part: read.append(part) or rows(b, part))
    monkeypatch.setattr("llamaner.backbone.passages.WORDS_IN_PART", 50)
    found = dict(reader(backbone).embed(given))
    longest = max(len(sentence) for sentence in given)
    assert max(sum(len(sentence) for sentence in part) for part in read) <= max(50, longest)
    assert reader(backbone).counts(given) == counted
    assert found.keys() == whole.keys()
    for index, vectors in whole.items():
        np.testing.assert_allclose(found[index], vectors, atol=TOLERANCE)


@hypothesis_settings(max_examples=40)
@given(st.lists(st.text(max_size=80), max_size=4))
def test_every_word_of_any_text_has_a_finite_vector(tiny_backbone, texts):
    given = [sentence for text in texts for sentence in segment(text)]
    for sentence, found in zip(given, vectors(tiny_backbone, given), strict=True):
        assert found.shape == (len(sentence), 2, 32)
        assert np.isfinite(found).all()


def test_long_sentences_are_read_in_windows_and_lose_nothing(tiny_backbone):
    words = [f"word{i}" for i in range(400)] + ["x" * 10_000, "end"]
    (found,) = vectors(tiny_backbone, [Sentence.from_words(words)])
    assert found.shape == (402, 2, 32)
    assert np.isfinite(found).all()
    assert np.abs(found.astype(np.float32)).sum(axis=(1, 2)).min() > 0


def test_windows_change_nothing_where_the_context_is_the_same(model_folder, settings_of):
    # With the first window as long as the sentence's beginning, its words are read alike.
    sentence = Sentence.from_words(["alpha", "beta", "gamma"] * 40)
    long = Backbone(settings_of(model_folder, window=400, overlap=16, repeat=0))
    short = Backbone(settings_of(model_folder, window=64, overlap=32, repeat=0))
    (whole,), (pieces,) = vectors(long, [sentence]), vectors(short, [sentence])
    np.testing.assert_allclose(whole[:5], pieces[:5], atol=TOLERANCE)
    for pooling in ("mean", "last"):
        backbone = Backbone(settings_of(model_folder, window=8, overlap=4, pooling=pooling))
        assert np.isfinite(vectors(backbone, [sentence])[0]).all()


def test_blocks_above_the_highest_layer_are_not_there(model_folder, settings_of):
    backbone = Backbone(settings_of(model_folder, layers=(0, 2)))
    assert len(backbone.blocks.model.layers) == 2
    assert not any(".2." in name or ".3." in name for name, _ in backbone.blocks.named_parameters())
    (found,) = vectors(backbone, sentences(["EU rejects"]))
    assert found.shape == (2, 2, 32)


def test_the_last_layer_is_the_last_blocks_output(model_folder, settings_of):
    given = sentences(["EU rejects"])
    by_name = vectors(Backbone(settings_of(model_folder, layers=(4,))), given)[0]
    from_end = vectors(Backbone(settings_of(model_folder, layers=(-1,))), given)[0]
    np.testing.assert_array_equal(by_name, from_end)


def test_layers():
    assert choose_layers((), 30, 0.87) == (9, 12, 18, 22, 26)
    assert choose_layers((), 30, 0.5) == (5, 7, 10, 13, 15)
    assert choose_layers((-1, 2, 2, -3), 4, 0.87) == (2, 4)
    with pytest.raises(ConfigurationError, match="layers 0 to 4"):
        choose_layers((5,), 4, 0.87)


def test_the_key_tells_all_that_changes_vectors(model_folder, settings_of):
    changes = [
        {},
        {"layers": (2,)},
        {"pooling": "last"},
        {"repeat": 0},
        {"window": 32},
        {"overlap": 8},
        {"precision": "bfloat16"},
    ]
    keys = {Backbone(settings_of(model_folder, **change)).key for change in changes}
    assert len(keys) == len(changes)
    same = Backbone(settings_of(model_folder, token_budget=64))
    assert same.key == Backbone(settings_of(model_folder)).key


def test_the_fingerprint_follows_the_files_not_the_place(model_folder, tmp_path, settings_of):
    copy = shutil.copytree(model_folder, tmp_path / "copy")
    before = find_model(str(model_folder)).fingerprint()
    assert find_model(str(copy)).fingerprint() == before
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "rope_theta": 5.0}))
    assert find_model(str(copy)).fingerprint() != before


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_other_precisions_are_close(model_folder, settings_of, precision):
    given = sentences()
    exact = vectors(Backbone(settings_of(model_folder)), given)
    rough = vectors(Backbone(settings_of(model_folder, precision=precision)), given)
    for a, b in zip(exact, rough, strict=True):
        assert np.abs(a.astype(np.float32) - b.astype(np.float32)).mean() < 0.05


def test_auto_precision_is_one_that_the_machine_computes():
    assert choose_precision("auto", torch.device("cpu")) in ("float32", "bfloat16")
    assert choose_precision("float16", torch.device("cpu")) == "float16"


def test_a_model_that_reads_to_the_right_is_refused(model_folder, settings_of):
    blocks = Backbone(settings_of(model_folder)).blocks
    for block in blocks.model.layers:
        block.self_attn.is_causal = False
    blocks.model.config._attn_implementation = "eager"
    causal_mask = "transformers.models.llama.modeling_llama.create_causal_mask"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(causal_mask, lambda **_: None)
        with pytest.raises(BackboneError, match="reads to the right"):
            blocks.require_causal("tiny")


def test_windows_fit_what_the_model_can_read(model_folder, settings_of):
    backbone = Backbone(settings_of(model_folder, window=None, overlap=None, repeat=2))
    assert (backbone.reading.window, backbone.reading.overlap) == (339, 84)
    (found,) = vectors(backbone, [Sentence.from_words(["word"] * 2000)])
    assert np.isfinite(found).all()


def test_missing_weights_are_not_drawn_at_random(model_folder, tmp_path, settings_of):
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(model_folder, tmp_path / "copy")
    state = load_file(copy / "model.safetensors")
    state.pop("layers.1.mlp.up_proj.weight")
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneError, match="missing"):
        vectors(Backbone(settings_of(copy)), sentences(["EU"]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "./nowhere"}, "no such folder"),
        ({"model": "a/b/c"}, "no such folder"),
        ({"device": "cuda:99"}, "not usable here"),
        ({"window": 4096}, "reads 1024 subwords at most.* may have 510, not 4096"),
        ({"window": 16, "overlap": 16}, "must be smaller"),
    ],
)
def test_wrong_settings_are_named(model_folder, settings, message):
    values = {"model": str(model_folder), **settings}
    with pytest.raises((BackboneError, ConfigurationError), match=message):
        Backbone(BackboneSettings(**values))


def test_folders_that_are_no_model_are_named(tmp_path):
    with pytest.raises(BackboneError, match=r"lacks config\.json and model\*\.safetensors"):
        find_model(str(tmp_path))
    (tmp_path / "model.gguf").write_bytes(b"nothing of the kind")
    with pytest.raises(BackboneError, match="not a GGUF file"):
        find_model(str(tmp_path))


def test_the_default_backbone_is_smollm2():
    backbone = Backbone(BackboneSettings(precision="float32"))
    assert (backbone.depth, backbone.width, backbone.layers) == (30, 576, (9, 12, 18, 22, 26))
    given = sentences(["EU rejects German call to boycott British lamb ."])
    (found,) = vectors(backbone, given)
    assert found.shape == (9, 5, 576)
    pieces = backbone.tokenizer([given[0].text])[0]
    assert backbone.tokenizer.decode([pieces.ids[1]]) == " rejects"
    assert len(backbone.blocks.model.layers) == 26
