"""Families of decoders: each block's states are those of the whole model, and no more is loaded."""

import pytest
import torch
import transformers

from llamaner.backbone import Backbone
from llamaner.backbone.blocks import Blocks, choose_device, read_config
from llamaner.corpus import Sentence
from llamaner.errors import BackboneError, ConfigurationError

DEPTH = 6
FAMILIES = {
    "Llama": {},
    "Llama 3": {
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        }
    },
    "Mistral": {"sliding_window": 8},
    "Qwen2": {},
    "Qwen3": {"head_dim": 16, "use_sliding_window": True, "sliding_window": 8},
    "Gemma": {"head_dim": 16},
    "Gemma2": {"head_dim": 16, "sliding_window": 8},
    "Gemma3": {"head_dim": 16, "sliding_window": 8},
    "Phi3": {"pad_token_id": 0},
    "Olmo2": {},
    "Granite": {"embedding_multiplier": 12.0, "residual_multiplier": 0.2},
    "SmolLM3": {"no_rope_layers": [1, 0] * 3, "pad_token_id": 0},
}
SIZES = {
    "vocab_size": 1300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def tiny(family):
    """A random causal model of a family, with its language-model head."""
    name = family.replace(" 3", "")
    config_name = "Gemma3TextConfig" if name == "Gemma3" else f"{name}Config"
    config = getattr(transformers, config_name)(**{**SIZES, **FAMILIES[family]})
    torch.manual_seed(0)
    return getattr(transformers, f"{name}ForCausalLM")(config).eval()


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    model = tiny(request.param)
    folder = tmp_path_factory.mktemp("family")
    model.save_pretrained(folder)
    return folder, model


def loaded(folder, layers, **changes):
    values = {"dtype": torch.float32, "device": torch.device("cpu"), **changes}
    return Blocks.load(folder, layers, **values)


def test_states_are_those_of_the_whole_model(family):
    folder, model = family
    layers = (0, 1, 3, 5)
    # Longer than the sliding windows, and with padding at the right of the second row.
    ids = torch.randint(3, 1300, (2, 24), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states
        padded = torch.cat([ids, torch.zeros(2, 5, dtype=torch.long)], 1)
        found = loaded(folder, layers)(padded, torch.tensor([24, 24]))
    for number, layer in enumerate(layers):
        torch.testing.assert_close(found[:, :24, number], expected[layer], atol=1e-5, rtol=1e-5)


def test_only_the_blocks_that_are_used_are_there(family):
    folder, model = family
    blocks = loaded(folder, (2,))
    assert len(blocks.model.layers) == 2
    per_block = sum(p.numel() for p in model.model.layers[0].parameters())
    embedding = model.model.embed_tokens.weight.numel()
    assert sum(p.numel() for p in blocks.parameters()) == embedding + 2 * per_block


def test_blocks_may_be_placed_by_accelerate(family):
    # On a machine without GPUs it places them all on the CPU.
    folder, _ = family
    ids, lengths = torch.arange(3, 13)[None], torch.tensor([10])
    found = loaded(folder, (1, 3), spread=True)(ids, lengths)
    assert torch.equal(found, loaded(folder, (1, 3))(ids, lengths))


@pytest.mark.parametrize("count", [0, 1])
def test_all_gpus_must_be_several(monkeypatch, count):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(ConfigurationError, match=f"for several GPUs, and here are {count}"):
        choose_device("all")


def test_the_text_decoder_of_a_multimodal_model_is_found(tmp_path, tokenizer_of, settings_of):
    text = {**SIZES, "head_dim": 16, "sliding_window": 8}
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    config = transformers.Gemma3Config(
        text_config=text, vision_config=vision, mm_tokens_per_image=4
    )
    torch.manual_seed(0)
    model = transformers.Gemma3ForConditionalGeneration(config).eval()
    model.save_pretrained(tmp_path)
    tokenizer_of("metaspace").save_pretrained(tmp_path)
    ids = torch.arange(3, 23)[None]
    with torch.inference_mode():
        whole = model.model.language_model(
            input_ids=ids, output_hidden_states=True, use_cache=False
        )
        found = loaded(tmp_path, (0, 3))(ids, torch.tensor([20]))
    torch.testing.assert_close(found[:, :, 1], whole.hidden_states[3], atol=1e-5, rtol=1e-5)
    backbone = Backbone(settings_of(tmp_path))
    ((_, vectors),) = backbone.embed([Sentence.from_words(["EU", "rejects", "it"])])
    assert vectors.shape == (3, 2, 32)


def test_an_encoder_is_refused(tmp_path):
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match=r"LLaMA kind|cannot be loaded"):
        loaded(tmp_path, (1,))


def test_an_encoder_decoder_is_refused(tmp_path):
    transformers.T5Config(num_layers=1).save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match="not a decoder of the LLaMA kind"):
        read_config(tmp_path)
