"""LlamaNER: named-entity recognition with a BiLSTM-CRF on LLaMA embeddings."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Backbone": "backbone",
    "BackboneSettings": "configuration",
    "Corpus": "corpus",
    "Document": "corpus",
    "Entity": "corpus",
    "FeatureStore": "backbone",
    "HeadSettings": "configuration",
    "LlamanerError": "errors",
    "NerTagger": "tagger",
    "Sentence": "corpus",
    "TrainingConfiguration": "configuration",
    "evaluate_tagger": "evaluation",
    "read_corpus": "corpus",
    "train": "training",
}

__all__ = [
    "Backbone",
    "BackboneSettings",
    "Corpus",
    "Document",
    "Entity",
    "FeatureStore",
    "HeadSettings",
    "LlamanerError",
    "NerTagger",
    "Sentence",
    "TrainingConfiguration",
    "evaluate_tagger",
    "read_corpus",
    "train",
]

if TYPE_CHECKING:
    from llamaner.backbone import Backbone, FeatureStore
    from llamaner.configuration import BackboneSettings, HeadSettings, TrainingConfiguration
    from llamaner.corpus import Corpus, Document, Entity, Sentence, read_corpus
    from llamaner.errors import LlamanerError
    from llamaner.evaluation import evaluate_tagger
    from llamaner.tagger import NerTagger
    from llamaner.training import train


def __getattr__(name: str) -> Any:
    """Import a public name when it is used: ``llamaner --help`` need not wait for PyTorch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
