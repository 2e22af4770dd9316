"""Blocks without their causal mask see what follows, and nothing of the padding."""

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from llamaner.backbone import Backbone
from llamaner.backbone.attention import unmasked_blocks
from llamaner.configuration import BackboneSettings
from llamaner.corpus import Sentence
from llamaner.errors import ConfigurationError

TOLERANCE = 4e-3


def sentences(*texts):
    return [Sentence.from_words(text.split(" ")) for text in texts]


def vectors(backbone, given):
    found = dict(backbone.embed(given))
    return [found[i] for i in range(len(given))]


def oracle(folder, text, layers, unmasked):
    """Transformers, given a mask of zeros in the blocks ``unmasked``."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    ids = torch.tensor([[tokenizer.bos_token_id, *encoding.ids]])
    model = AutoModel.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    hidden = model.embed_tokens(ids)
    count = ids.shape[1]
    positions = torch.arange(count)[None]
    causal = torch.full((count, count), float("-inf")).triu(1)[None, None]
    states = {}
    with torch.no_grad():
        for number, block in enumerate(model.layers, 1):
            hidden = block(
                hidden,
                attention_mask=torch.zeros_like(causal) if number in unmasked else causal,
                position_embeddings=model.rotary_emb(hidden, position_ids=positions),
            )
            states[number] = hidden[0]
    stacked = torch.stack([states[layer] for layer in layers], dim=1)
    centred = stacked - stacked.mean(-1, keepdim=True)
    return encoding, (centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt())[1:]


@pytest.mark.parametrize(
    ("attention", "unmasked"),
    [
        ("causal", set()),
        ("bidirectional", {1, 2, 3, 4}),
        ("bidirectional:2-3", {2, 3}),
        ("bidirectional:1-1,3-4", {1, 3, 4}),
        ("bidirectional:upper", {3, 4}),
    ],
)
def test_vectors_equal_the_oracle(model_folder, settings_of, attention, unmasked):
    settings = settings_of(
        model_folder, attention=attention, repeat=0, layers=(1, 2, 3), pooling="last"
    )
    given = sentences("Ana flew", "EU rejects German call to boycott British lamb .", "One")
    for sentence, found in zip(given, vectors(Backbone(settings), given), strict=True):
        encoding, states = oracle(model_folder, sentence.text, (1, 2, 3), unmasked)
        for word, (start, end) in enumerate(sentence.spans):
            last = max(i for i, (a, b) in enumerate(encoding.offsets) if a < end and b > start)
            np.testing.assert_allclose(found[word], states[last].numpy(), atol=TOLERANCE)


def test_only_unmasked_blocks_see_what_follows(model_folder, settings_of):
    given = sentences("The bank of England", "The bank of Ireland")
    settings = settings_of(model_folder, attention="bidirectional:3-3", repeat=0, layers=(2, 3))
    one, other = (v.astype(np.float32)[:3] for v in vectors(Backbone(settings), given))
    np.testing.assert_allclose(one[:, 0], other[:, 0], atol=TOLERANCE)
    assert np.abs(one[:, 1] - other[:, 1]).max() > 10 * TOLERANCE


def test_padding_changes_nothing(model_folder, settings_of):
    backbone = Backbone(settings_of(model_folder, attention="bidirectional"))
    given = sentences("Ana flew", "a much longer sentence stands beside it in the batch .")
    (alone,) = vectors(backbone, given[:1])
    np.testing.assert_allclose(vectors(backbone, given)[0], alone, atol=TOLERANCE)


def test_other_attention_is_another_key(model_folder, settings_of):
    keys = {
        Backbone(settings_of(model_folder, attention=attention)).key
        for attention in ("causal", "bidirectional", "bidirectional:2-4")
    }
    assert len(keys) == 3


def test_blocks_are_parsed():
    assert unmasked_blocks("causal", 4) == frozenset()
    assert unmasked_blocks("bidirectional", 3) == {1, 2, 3}
    assert unmasked_blocks("bidirectional:2-3,5-5", 6) == {2, 3, 5}
    for wrong in ("bidirectional:0-2", "bidirectional:3-2", "bidirectional:2-7"):
        with pytest.raises(ConfigurationError, match="blocks 1 to 6"):
            unmasked_blocks(wrong, 6)


@pytest.mark.parametrize("attention", ["both", "bidirectional:", "bidirectional:1", "causal:1-2"])
def test_anything_else_is_refused(attention):
    with pytest.raises(ValueError, match="attention"):
        BackboneSettings(attention=attention)
