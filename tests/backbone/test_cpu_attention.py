import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from llamaner.backbone import Backbone
from llamaner.backbone.cpu_attention import NAME, attend, attend_by_products
from llamaner.configuration import BackboneSettings
from llamaner.corpus import read_corpus, sample_path


def heads(seed, batch, key_heads, group, length, width):
    generator = torch.Generator().manual_seed(seed)
    shapes = (batch, key_heads * group), (batch, key_heads), (batch, key_heads)
    # As the projections of a block give them: the heads of a subword lie side by side.
    return [
        torch.randn(rows, length, count, width, generator=generator).bfloat16().transpose(1, 2)
        for rows, count in shapes
    ]


def chosen(query, key, value, mask=None):
    module = torch.nn.Identity()
    module.num_key_value_groups = query.shape[1] // key.shape[1]
    return attend(module, query, key, value, mask)[0]


def reference(query, key, value, mask=None):
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    found = scaled_dot_product_attention(
        query.double(),
        key.double(),
        value.double(),
        attn_mask=None if mask is None else mask.double(),
        is_causal=mask is None,
    )
    return found.transpose(1, 2)


# Of bfloat16's 8 bits, scores and weights lose half of the last one.
TOLERANCE = {"rtol": 0.02, "atol": 0.03}


@given(
    st.integers(0, 99),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 300),
    st.sampled_from([16, 64]),
    st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_is_attention(seed, batch, key_heads, group, length, width, causal):
    query, key, value = heads(seed, batch, key_heads, group, length, width)
    mask = None
    if not causal:
        lengths = torch.arange(length) % length + 1
        padded = torch.arange(length) >= lengths[torch.arange(batch) % length][:, None]
        mask = torch.zeros(batch, length).masked_fill(padded, torch.finfo(torch.bfloat16).min)
        mask = mask.bfloat16()[:, None, None].expand(-1, 1, length, -1)
    expected = reference(query, key, value, mask)
    for kernel in (attend_by_products, chosen):
        found = kernel(query, key, value, mask)
        torch.testing.assert_close(found.double(), expected, **TOLERANCE)


@pytest.mark.parametrize("causal", [True, False])
def test_gradients(causal):
    inputs = heads(0, 2, 2, 3, 200, 64)
    mask = None if causal else torch.zeros(2, 1, 200, 200, dtype=torch.bfloat16)
    gradients = []
    for compute in (chosen, reference):
        leaves = [tensor.clone().requires_grad_() for tensor in inputs]
        compute(*leaves, mask).double().square().sum().backward()
        gradients.append([leaf.grad.double() for leaf in leaves])
    for found, expected in zip(*gradients, strict=True):
        error = (found - expected).norm() / expected.norm()
        assert error < 0.02


def test_boolean_masks_are_obeyed():
    query, key, value = heads(0, 1, 2, 2, 50, 64)
    seen = torch.ones(50, 50, dtype=torch.bool).tril().triu(-4)[None, None]
    module = torch.nn.Identity()
    module.num_key_value_groups = 2
    found = attend(module, query, key, value, seen, scaling=0.125)[0]
    mask = torch.zeros(50, 50).masked_fill(~seen, float("-inf"))
    torch.testing.assert_close(found.double(), reference(query, key, value, mask), **TOLERANCE)


@pytest.mark.parametrize("attention", ["causal", "bidirectional:10-20"])
def test_default_backbone_is_as_exact_as_with_the_fused_kernel(attention, monkeypatch):
    # With AMX the fused kernel would be compared with itself.
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    documents = read_corpus(sample_path("dev")).documents[:3]

    def vectors(precision, kernel):
        settings = BackboneSettings(
            precision=precision, layers=(20,), device="cpu", attention=attention, window=300
        )
        backbone = Backbone(settings)
        implementation = backbone.blocks.model.config._attn_implementation
        assert implementation == (NAME if precision == "bfloat16" else "sdpa")
        backbone.blocks.model.set_attn_implementation(kernel)
        return np.concatenate([found for _, found in backbone.embed_sentences(documents)])[:, 0]

    def unlikeness(one, other):
        one, other = (torch.from_numpy(vectors).double() for vectors in (one, other))
        return 1 - torch.nn.functional.cosine_similarity(one, other, dim=-1).mean()

    exact = vectors("float32", "sdpa")
    fused = unlikeness(vectors("bfloat16", "sdpa"), exact)
    ours = unlikeness(vectors("bfloat16", NAME), exact)
    assert ours < 1.3 * fused
    assert ours < 3e-4
