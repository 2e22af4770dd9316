"""Products in int8: close to the exact ones, the same whatever is read beside them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from llamaner.backbone import Backbone, blocks
from llamaner.backbone.adapter import Adapter, adapter_weights, insert_adapter
from llamaner.backbone.blocks import choose_precision
from llamaner.backbone.cpu_int8 import Int8Linear, Rounding, int8_is_native, multiply_in_int8
from llamaner.configuration import LoraSettings
from llamaner.corpus import Sentence
from llamaner.errors import ConfigurationError
from llamaner.training.adaptation import backbone_to_adapt

CPU = torch.device("cpu")
native = pytest.mark.skipif(not int8_is_native(), reason="this processor does not multiply bytes")


@st.composite
def products(draw):
    """A linear map and the vectors that it reads, of any size and spread."""
    inside, outside = draw(st.integers(1, 70)), draw(st.integers(1, 50))
    rows, seed = draw(st.integers(1, 20)), draw(st.integers(0, 2**16))
    generator = torch.Generator().manual_seed(seed)
    linear = nn.Linear(inside, outside, bias=draw(st.booleans())).requires_grad_(False)
    for parameter in linear.parameters():
        parameter.normal_(generator=generator)
    spread = torch.tensor(draw(st.lists(st.sampled_from([0.0, 1e-6, 1.0, 1e4]), min_size=1)))
    vectors = torch.randn(rows, inside, generator=generator)
    vectors *= spread[torch.arange(rows) % len(spread), None]
    return linear, vectors


@native
@given(products(), st.sampled_from([torch.float32, torch.bfloat16]))
def test_products_are_as_close_as_eight_bits_allow(product, dtype):
    linear, vectors = product
    linear, vectors = linear.to(dtype), vectors.to(dtype)
    found = Int8Linear(linear, Rounding())(vectors)
    assert found.dtype == dtype
    weight, wide = linear.weight.double(), vectors.double()
    exact = wide @ weight.T
    # Each factor is off by half a step, and by what the type of vectors and scales rounds away.
    digits = torch.finfo(dtype).eps
    step_of_weight = weight.abs().amax(1) / 127
    step_of_vector = wide.abs().amax(1, keepdim=True) / 126
    off = (0.5 + 130 * digits) * (
        step_of_vector * weight.abs().sum(1) + wide.abs().sum(1, keepdim=True) * step_of_weight
    )
    off += step_of_vector * step_of_weight * weight.shape[1] + 4 * digits * exact.abs()
    if linear.bias is not None:
        exact = exact + linear.bias.double()
        off += 2 * digits * exact.abs()
    assert ((found.double() - exact).abs() <= off + 1e-30).all()


@native
@given(products(), st.sampled_from([torch.float32, torch.bfloat16]))
def test_a_vector_is_multiplied_as_if_it_were_alone(product, dtype):
    linear, vectors = product
    vectors = vectors.to(dtype)
    multiply = Int8Linear(linear.to(dtype), Rounding())
    alone = torch.cat([multiply(vector[None]) for vector in vectors])
    assert torch.equal(multiply(vectors), alone)


@native
def test_maps_that_read_the_same_vectors_share_their_bytes_and_others_do_not():
    module = nn.ModuleDict({"a": nn.Linear(8, 4), "b": nn.Linear(8, 4), "c": nn.Linear(8, 4)})
    exact = [module[name](torch.ones(3, 8)) for name in "abc"]
    multiply_in_int8(module)
    assert all(isinstance(module[name], Int8Linear) for name in "abc")
    ones, twos = torch.ones(3, 8), torch.full((3, 8), 2.0)
    found = [module["a"](ones), module["b"](ones), module["c"](ones)]
    assert all(torch.allclose(f, e, atol=0.05) for f, e in zip(found, exact, strict=True))
    doubled = module["c"](twos)
    assert not torch.allclose(doubled, found[2])
    assert torch.equal(module["c"](ones), found[2])


@native
def test_vectors_are_close_to_those_in_float32(model_folder, settings_of):
    sentences = [Sentence.from_words(f"number {i} of a few in Berlin".split()) for i in range(9)]

    def vectors(precision):
        backbone = Backbone(settings_of(model_folder, precision=precision))
        found = dict(backbone.embed(sentences))
        return backbone, np.concatenate([found[i] for i in range(9)]).astype(np.float32)

    rough_backbone, rough = vectors("int8")
    _, exact = vectors("float32")
    assert not any(type(part) is nn.Linear for part in rough_backbone.blocks.model.modules())
    lengths = np.linalg.norm(rough, axis=-1) * np.linalg.norm(exact, axis=-1)
    assert ((rough * exact).sum(-1) / lengths > 0.995).all()


@native
def test_an_adapted_backbone_is_read_in_int8(model_folder, settings_of):
    lora = LoraSettings(first_block=2)
    blocks = Backbone(settings_of(model_folder)).blocks
    for update in insert_adapter(blocks, lora):
        update.data.normal_(std=0.3, generator=torch.Generator().manual_seed(0))
    adapter = Adapter(lora, adapter_weights(blocks))
    sentence = Sentence.from_words(["a", "few", "words", "of", "Berlin"])

    def vectors(precision, adapter):
        backbone = Backbone(settings_of(model_folder, precision=precision), adapter)
        ((_, found),) = backbone.embed([sentence])
        return found[:, -1].astype(np.float32)

    def likeness(one, other):
        lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
        return ((one * other).sum(-1) / lengths).min()

    rough, exact = vectors("int8", adapter), vectors("float32", adapter)
    assert likeness(rough, exact) > 0.97
    assert likeness(rough, vectors("int8", None)) < 0.9


@native
def test_it_is_refused_where_it_cannot_be(model_folder, settings_of):
    settings = settings_of(model_folder, precision="int8", layers=(3,))
    with pytest.raises(ConfigurationError, match="no gradient"):
        backbone_to_adapt(settings, LoraSettings(first_block=2))
    with pytest.raises(ConfigurationError, match="'4bit' does not go with it"):
        choose_precision("int8", CPU, "4bit")
    with pytest.raises(ConfigurationError, match="this cuda does not"):
        choose_precision("int8", torch.device("cuda"))


def test_a_processor_that_does_not_multiply_bytes_is_told_of(monkeypatch):
    monkeypatch.setattr(blocks, "int8_is_native", lambda: False)
    assert choose_precision("auto", CPU) in ("float32", "bfloat16")
    with pytest.raises(ConfigurationError, match=r"this cpu does not: leave precision out"):
        choose_precision("int8", CPU)
