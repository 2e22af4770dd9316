"""Tiny LLaMA models with really trained tokenizers, made on the spot, and where the data lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

from llamaner.backbone import Backbone
from llamaner.configuration import BackboneSettings
from llamaner.corpus import sample_corpus, sample_path

pytest_plugins = ["browser"]

# The first example of a property may load a library, and the machine may be shared.
settings.register_profile("llamaner", deadline=None)
settings.load_profile("llamaner")
torch.set_num_threads(2)

SHARED = Path(__file__).parents[2] / "shared" / "data"
TOKENIZERS = ("byte_level", "sentencepiece", "metaspace")


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    """The tests neither use nor fill the user's cache."""
    os.environ["LLAMANER_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def shared():
    """The real corpora, which are not part of the repository."""
    if not SHARED.is_dir():
        pytest.skip("no shared data here")
    return SHARED


@pytest.fixture(scope="session")
def sample():
    """The sample corpus: a function from split to corpus."""
    return sample_corpus


@pytest.fixture(scope="session")
def sample_file():
    """A function from split to the file of the sample corpus."""
    return sample_path


@pytest.fixture(scope="session")
def tokenizer_of():
    """A function that trains a tokenizer of a kind on the sample corpus."""
    return _trained_tokenizer


@pytest.fixture(scope="session", params=TOKENIZERS)
def any_model_folder(request, tmp_path_factory):
    """A tiny LLaMA of each tokenizer kind."""
    return _tiny_model(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A tiny LLaMA with a byte-level tokenizer."""
    return _tiny_model(tmp_path_factory.mktemp("model"), "byte_level")


@pytest.fixture(scope="session")
def tiny_backbone(model_folder):
    """The tiny LLaMA as a backbone."""
    return Backbone(tiny_settings(model_folder))


@pytest.fixture(scope="session")
def settings_of():
    """A function from model folder and changes to backbone settings in float32 on the CPU."""
    return tiny_settings


def tiny_settings(folder: Path, **changes) -> BackboneSettings:
    values = {
        "layers": (1, 3),
        "precision": "float32",
        "device": "cpu",
        "window": 64,
        "overlap": 16,
    }
    return BackboneSettings(model=str(folder), **{**values, **changes})


def _texts():
    return [sentence.text for sentence in sample_corpus("train").sentences]


def _trained_tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """byte_level: as Llama 3 and SmolLM2. sentencepiece: as Llama 2, with byte fallback.
    metaspace: as converted Mistral and Gemma tokenizers, with a Metaspace pre-tokenizer."""
    special = ["<unk>", "<s>", "</s>"]
    byte_pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    if kind == "byte_level":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=900, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        tail = [decoders.ByteFallback(), decoders.Fuse()]
        if kind == "sentencepiece":
            tokenizer.normalizer = normalizers.Sequence(
                [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
            )
            head = [decoders.Replace("▁", " ")]
        else:
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
            head = [decoders.Metaspace()]
        strip = [decoders.Strip(" ", 1, 0)] if kind == "sentencepiece" else []
        tokenizer.decoder = decoders.Sequence([*head, *tail, *strip])
        trainer = trainers.BpeTrainer(
            vocab_size=1000, special_tokens=[*special, *byte_pieces], show_progress=False
        )
    words = (word for text in _texts() for word in _pieces(text, kind))
    tokenizer.train_from_iterator(words, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


def _pieces(text: str, kind: str) -> list[str]:
    """What the trainer is given: without a pre-tokenizer, merges would span words."""
    if kind == "sentencepiece":
        return [f" {word}" if i else word for i, word in enumerate(text.split(" "))]
    return [text]


def _tiny_model(folder: Path, kind: str) -> Path:
    tokenizer = _trained_tokenizer(kind)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
