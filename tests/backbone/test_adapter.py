"""Adapters: merged they compute what they computed beside the weights, and they change the key."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from peft.utils.integrations import dequantize_bnb_weight
from torch.autograd.graph import saved_tensors_hooks
from transformers import LlamaConfig, LlamaModel

from llamaner.backbone import Adapter, Backbone, FeatureStore, LowerStates
from llamaner.backbone.adapter import (
    adapter_weights,
    for_depth,
    insert_adapter,
    mixed_precision,
)
from llamaner.backbone.backbone import padded
from llamaner.backbone.blocks import Blocks
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


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_recomputed_blocks_give_the_same_gradients_and_keep_less(
    model_folder, settings_of, precision
):
    settings = settings_of(
        model_folder, precision=precision, attention="bidirectional:3-4", layers=(1, 3, 4)
    )
    backbone = Backbone(settings)
    lora = LORA.model_copy(update={"dropout": 0.3})
    ids, lengths = rows_of(backbone)
    start = torch.randn(*ids.shape, backbone.width, generator=torch.Generator().manual_seed(0))

    def learnt(*, recompute):
        torch.manual_seed(0)
        blocks = backbone.load_blocks(backbone.layers, first=2)
        updates = insert_adapter(blocks, lora)
        for update in updates:
            torch.nn.init.normal_(update, 0, 0.1)
        if recompute:
            blocks.recompute()
        kept = {}

        def keep(tensor):
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with saved_tensors_hooks(keep, lambda tensor: tensor), mixed_precision(blocks.train()):
            states = blocks(ids, lengths, start.to(blocks.dtype))
        loss = states.float().square().mean()
        after = torch.rand(3)  # what comes later draws the same numbers
        loss.backward()
        return loss, [update.grad for update in updates], sum(kept.values()), after

    loss, gradients, kept, after = learnt(recompute=False)
    same_loss, same, less, same_after = learnt(recompute=True)
    assert torch.equal(same_loss, loss)
    assert torch.equal(same_after, after)
    for found, expected in zip(same, gradients, strict=True):
        assert expected.abs().max() > 0
        torch.testing.assert_close(found, expected)
    assert less < 0.3 * kept


@pytest.fixture(scope="module")
def wide_folder(tmp_path_factory):
    """A LLaMA whose matrices are wide enough for all ways that bitsandbytes has to keep them."""
    folder = tmp_path_factory.mktemp("wide")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=100,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    LlamaModel(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_quantised_blocks_learn_as_their_weights_would(wide_folder, quantization, recompute):
    def loaded(bits):
        return Blocks.load(
            wide_folder, (2, 3), torch.float32, torch.device("cpu"), quantization=bits
        )

    quantised, plain = loaded(quantization), loaded("none")
    matrices = dict(plain.named_modules())
    for name, module in quantised.named_modules():
        if isinstance(module, torch.nn.Linear):
            weight = dequantize_bnb_weight(module.weight, getattr(module, "state", None))
            matrices[name].weight.data = weight.float()
    if recompute:
        quantised.recompute()
    ids = torch.arange(40).view(4, 10)
    lengths = torch.full((4,), 10)
    found = []
    for blocks in (quantised, plain):
        updates = insert_adapter(blocks, LORA)
        torch.manual_seed(0)
        for update in updates:
            torch.nn.init.normal_(update, 0, 0.1)
        with torch.inference_mode():
            blocks(ids, lengths)  # as dev evaluation does
        states = blocks.train()(ids, lengths)
        states.pow(3).mean().backward()
        found.append((states.detach(), [update.grad for update in updates]))
    (states, gradients), (expected_states, expected) = found
    torch.testing.assert_close(states, expected_states, rtol=1e-3, atol=1e-3)
    for gradient, other in zip(gradients, expected, strict=True):
        assert (gradient - other).norm() < 0.01 * other.norm()


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
@torch.inference_mode()
def test_updates_stay_beside_quantised_weights(model_folder, settings_of, quantization):
    backbone = Backbone(
        settings_of(model_folder, quantization=quantization, precision="bfloat16", layers=(1, 3))
    )
    learnt = backbone.load_blocks(backbone.layers)
    torch.manual_seed(0)
    for update in insert_adapter(learnt, LORA):
        torch.nn.init.normal_(update, 0, 0.1)
    adapted = Backbone(backbone.settings, Adapter(LORA, adapter_weights(learnt)))
    ids, lengths = rows_of(adapted)
    with mixed_precision(learnt.eval()):
        expected = learnt(ids, lengths)
    torch.testing.assert_close(adapted.blocks(ids, lengths), expected, rtol=2e-2, atol=2e-2)
    assert (backbone.blocks(ids, lengths) - expected).abs().max() > 0.1
    assert not any(parameter.requires_grad for parameter in adapted.blocks.parameters())


def test_bitsandbytes_says_only_what_matters():
    program = (
        "import logging\n"
        "from llamaner.backbone.quiet import quiet_bitsandbytes\n"
        "quiet_bitsandbytes()\n"
        "import peft, bitsandbytes\n"
        "from bitsandbytes.autograd import _functions\n"
        "_functions.logger.warning('MatMul8bitLt: inputs will be cast from %s', 1)\n"
        "_functions.logger.warning('something else')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stderr.splitlines() == ["something else"]
