"""Adapters: merged they compute what they computed beside the weights, and they change the key."""

import numpy as np
import pytest
import torch

from llamaner.backbone import Adapter, Backbone, FeatureStore, LowerStates
from llamaner.backbone.adapter import adapter_weights, for_depth, insert_adapter
from llamaner.backbone.backbone import padded
from llamaner.configuration import LoraSettings
from llamaner.corpus import Document, Sentence
from llamaner.errors import BackboneError, ConfigurationError

LORA = LoraSettings(rank=4, alpha=8, first_block=2, dropout=0.0)
TEXTS = ("EU rejects German call", "Ana flew to Łódź and to São Tomé .", "One")


def documents():
    return [Document.from_sentences([Sentence.from_words(text.split())]) for text in TEXTS]


@pytest.fixture(scope="module")
def trained(tiny_backbone):
    """Blocks with updates that are not zero."""
    torch.manual_seed(0)
    blocks = tiny_backbone.load_blocks((1, 3))
    with torch.no_grad():
        for parameter in insert_adapter(blocks, LORA):
            parameter.normal_(0, 0.1)
    return blocks


def rows_of(backbone):
    rows = backbone.rows(backbone.passages(documents()))
    return padded([row.ids for row in rows], torch.device("cpu"))


@torch.inference_mode()
def test_merged_updates_compute_the_same(tiny_backbone, trained):
    adapter = Adapter(LORA, adapter_weights(trained))
    adapted = Backbone(tiny_backbone.settings, adapter)
    ids, lengths = rows_of(adapted)
    beside, merged = trained(ids, lengths), adapted.blocks(ids, lengths)
    torch.testing.assert_close(merged, beside, rtol=1e-2, atol=2e-2)  # kept in float16
    plain = tiny_backbone.blocks(ids, lengths)
    assert (plain[:, :, 1] - merged[:, :, 1]).abs().max() > 0.1
    torch.testing.assert_close(plain[:, :, 0], merged[:, :, 0])  # below the first adapted block
    assert not any("lora" in name for name, _ in adapted.blocks.named_parameters())


def test_only_the_updates_learn(tiny_backbone):
    blocks = tiny_backbone.load_blocks((1, 3))
    updates = insert_adapter(blocks, LORA)
    learning = [p for p in blocks.parameters() if p.requires_grad]
    assert {id(p) for p in learning} == {id(p) for p in updates}
    assert all(p.dtype == torch.float32 for p in updates)
    assert len(updates) == 2 * 7 * 2  # A and B, of seven linear maps, of blocks 2 and 3


def test_an_adapter_changes_the_key(tiny_backbone, trained):
    weights = adapter_weights(trained)
    name = next(iter(weights))
    other = {**weights, name: weights[name] + 1}
    keys = {
        Backbone(tiny_backbone.settings, adapter).key
        for adapter in (None, Adapter(LORA, weights), Adapter(LORA, other))
    }
    assert len(keys) == 3


def test_an_adapter_of_another_model_is_refused(tiny_backbone, trained):
    weights = adapter_weights(trained)
    missing = dict(list(weights.items())[1:])
    foreign = {name.replace("layers.2", "layers.9"): w for name, w in weights.items()}
    smaller = {name: w[:2] for name, w in weights.items()}
    for wrong in (missing, foreign, smaller):
        with pytest.raises(BackboneError, match="does not fit"):
            _ = Backbone(tiny_backbone.settings, Adapter(LORA, wrong)).blocks


@pytest.mark.parametrize("attention", ["causal", "bidirectional:2-4"])
@torch.inference_mode()
def test_upper_blocks_go_on_from_stored_states(model_folder, settings_of, tmp_path, attention):
    backbone = Backbone(settings_of(model_folder, attention=attention, layers=(1, 2, 4)))
    passages = backbone.passages(documents())
    lower = FeatureStore(tmp_path).features(LowerStates(backbone, 2), passages)
    upper = backbone.load_blocks(backbone.layers, first=2)
    ids, lengths = rows_of(backbone)
    start = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(np.array(states[:, 0])).float() for states in lower], batch_first=True
    )
    expected = backbone.blocks(ids, lengths)
    found = upper(torch.zeros_like(ids), lengths, start)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(
            found[row, :length], expected[row, :length], rtol=1e-2, atol=4e-3
        )
    assert not any("layers.0." in name for name, _ in upper.named_parameters())


def test_the_first_block_is_chosen_by_depth():
    assert for_depth(LoraSettings(), 30).first_block == 13
    assert for_depth(LoraSettings(first_block=3), 30).first_block == 3


def test_blocks_that_are_not_used_cannot_be_adapted(tiny_backbone):
    with pytest.raises(ConfigurationError, match="above the highest layer used"):
        insert_adapter(tiny_backbone.load_blocks((1, 3)), LoraSettings(first_block=4))
