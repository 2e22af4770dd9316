"""GGUF files written on the spot give the vectors of the model that they were written from."""

import json

import gguf
import numpy as np
import pytest
import torch
import transformers
from safetensors import safe_open

from llamaner.backbone import Backbone, gguf_weights
from llamaner.backbone.blocks import read_config
from llamaner.corpus import Sentence
from llamaner.errors import BackboneError

ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "gemma3": gguf.MODEL_ARCH.GEMMA3,
    "gemma2": gguf.MODEL_ARCH.GEMMA2,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
DEPTH = 3


def tiny(architecture, vocabulary, **changes):
    sizes = {
        "vocab_size": vocabulary,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": DEPTH,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 512,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    name = {architecture: architecture.capitalize(), "gemma3": "Gemma3Text"}
    torch.manual_seed(0)
    config = getattr(transformers, f"{name[architecture]}Config")(**{**sizes, **changes})
    model = getattr(transformers, f"{name[architecture]}Model")(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    # What float16 holds, so that both ways lead to the same weights.
    return model.half().float().eval()


def as_stored(architecture, name, weights, config):
    """The layout of llama.cpp: rotary halves interleaved in Llama, Gemma's norms with their 1."""
    for part, heads in (("q_proj", config.num_attention_heads), ("k_proj", 2)):
        if architecture == "llama" and f".{part}." in name:
            halves = weights.reshape(heads, 2, -1, weights.shape[1])
            return halves.swapaxes(1, 2).reshape(weights.shape)
    if architecture.startswith("gemma") and name.endswith("norm.weight"):
        return weights + 1
    return weights


def write_gguf(path, architecture, model, tokenizer, *, matrices=None, extra=()):
    config = model.config
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(16)
    writer.add_key_length(16)
    writer.add_value_length(16)
    theta = config.rope_parameters
    writer.add_rope_freq_base(theta.get("rope_theta") or theta["full_attention"]["rope_theta"])
    if architecture.startswith("gemma"):
        writer.add_sliding_window(config.sliding_window)
    add_tokenizer(writer, tokenizer)
    names = gguf.get_tensor_name_map(ARCHITECTURES[architecture], DEPTH)
    for name, tensor in model.state_dict().items():
        base, suffix = name.rsplit(".", 1)
        stored = as_stored(architecture, name, tensor.numpy(), config)
        target = f"{names.get_name(f'model.{base}') or names.get_name(base)}.{suffix}"
        if stored.ndim == 1:
            writer.add_tensor(target, stored.astype(np.float32))
        elif matrices is None:
            writer.add_tensor(target, stored.astype(np.float16))
        else:
            writer.add_tensor(target, gguf.quantize(stored, matrices), raw_dtype=matrices)
    for name, values in extra:
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add_tokenizer(writer, tokenizer):
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    special = set(tokenizer.all_special_tokens)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types([3 if token in special else 1 for token, _ in vocabulary])
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def vectors(settings):
    words = ["EU", "rejects", "German", "call", "to", "boycott", "lamb", "in", "Łódź", "."]
    ((_, found),) = Backbone(settings).embed([Sentence.from_words(words)])
    return found.astype(np.float32)


@pytest.fixture
def tokenizer(tokenizer_of):
    return tokenizer_of("byte_level")


def both(tmp_path, tokenizer, architecture, settings_of, extra=(), **changes):
    """Vectors from safetensors, and from a GGUF file of the same model."""
    model = tiny(architecture, len(tokenizer), **changes)
    folder = tmp_path / "folder"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    file = write_gguf(tmp_path / "tiny.gguf", architecture, model, tokenizer, extra=extra)
    return vectors(settings_of(folder)), vectors(settings_of(file))


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_vectors_are_those_of_the_model(tmp_path, tokenizer, architecture, settings_of):
    expected, found = both(tmp_path, tokenizer, architecture, settings_of)
    np.testing.assert_allclose(found, expected, atol=4e-3)


@pytest.mark.parametrize("architecture", ["gemma2", "gemma3"])
def test_weights_are_those_of_the_model(tmp_path, tokenizer, architecture):
    # Their tokenizers in GGUF are of a kind that cannot be trained on the spot.
    model = tiny(architecture, len(tokenizer))
    file = write_gguf(tmp_path / "tiny.gguf", architecture, model, tokenizer)
    weights = gguf_weights.GgufWeights(file, read_config(file))
    expected = model.state_dict()
    found = dict(weights)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name].half()) for name in found)
    config = weights.finish_config()
    for name in ("head_dim", "layer_types", "sliding_window", "rope_parameters"):
        assert getattr(config, name) == getattr(model.config, name), name


def rope_factors(parameters):
    config = transformers.LlamaConfig(
        hidden_size=64, num_attention_heads=4, head_dim=16, rope_parameters=parameters
    )
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    slowed, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    plain = parameters["rope_theta"] ** -(torch.arange(0, 16, 2) / 16)
    return (plain / slowed).numpy().astype(np.float32)


def test_llama_3_keeps_its_rotary_frequencies(tmp_path, tokenizer, settings_of):
    factors = rope_factors(LLAMA3)
    assert factors.max() > 7
    expected, found = both(
        tmp_path,
        tokenizer,
        "llama",
        settings_of,
        extra=[("rope_freqs.weight", factors)],
        rope_parameters=LLAMA3,
    )
    np.testing.assert_allclose(found, expected, atol=4e-3)


def test_other_rotary_frequencies_are_refused(tmp_path, tokenizer, settings_of):
    factors = rope_factors(LLAMA3)[::-1].copy()
    with pytest.raises(BackboneError, match="rotary frequencies are of an unknown kind"):
        both(tmp_path, tokenizer, "llama", settings_of, extra=[("rope_freqs.weight", factors)])


def test_weights_without_a_place_are_refused(tmp_path, tokenizer, settings_of):
    extra = [("blk.0.attn_q.lora_a", np.ones((4, 4), dtype=np.float32))]
    with pytest.raises(BackboneError, match=r"no place for blk\.0\.attn_q\.lora_a"):
        both(tmp_path, tokenizer, "llama", settings_of, extra=extra)


def test_quantised_weights_are_those_that_gguf_means(tmp_path, tokenizer, monkeypatch):
    # A row at a time, and several shards: what a large model goes through.
    monkeypatch.setattr(gguf_weights, "_ROWS_BYTES", 1000)
    monkeypatch.setattr(gguf_weights, "_SHARD_BYTES", 40_000)
    model = tiny("llama", len(tokenizer))
    kind = gguf.GGMLQuantizationType.Q8_0
    file = write_gguf(tmp_path / "q8.gguf", "llama", model, tokenizer, matrices=kind)
    config = transformers.AutoConfig.from_pretrained(tmp_path, gguf_file="q8.gguf")
    folder = tmp_path / "unpacked"
    folder.mkdir()
    gguf_weights.write_shards(gguf_weights.GgufWeights(file, config), folder)
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 3
    found = {}
    for shard in shards:
        with safe_open(shard, "pt") as opened:
            found.update({name: opened.get_tensor(name) for name in opened.keys()})  # noqa: SIM118
    for name, tensor in model.state_dict().items():
        expected = tensor
        if tensor.dim() > 1:
            stored = as_stored("llama", name, tensor.numpy(), model.config)
            read = gguf.dequantize(gguf.quantize(stored, kind), kind)
            if "q_proj" in name or "k_proj" in name:
                heads = 4 if "q_proj" in name else 2
                pairs = read.reshape(heads, -1, 2, read.shape[1])
                read = pairs.swapaxes(1, 2).reshape(read.shape)
            expected = torch.from_numpy(read)
        assert torch.equal(found[name], expected.half()), name
