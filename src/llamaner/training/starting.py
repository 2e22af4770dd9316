"""The tagger that a run begins with: a new one, or one that has learnt before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from llamaner.backbone import Adapter, Backbone
from llamaner.backbone.adapter import for_depth
from llamaner.configuration import TrainingConfiguration
from llamaner.corpus import Document, Sentence
from llamaner.corpus.spacing import are_single_spaced
from llamaner.errors import ConfigurationError
from llamaner.tagger import NerTagger
from llamaner.training.adaptation import backbone_to_adapt

_FREE = {
    *("model", "revision", "device", "precision", "token_budget"),
    *("dropout", "word_dropout"),
    *("learning_rate", "gradient_checkpointing"),
}
"""Settings of backbone, head and LoRA that may differ from those of the tagger to go on from."""


def settings_to_go_on_with(configuration: TrainingConfiguration) -> TrainingConfiguration:
    """``configuration`` with the backbone, head and adapter of the tagger to go on from, if any.

    What adapts a tagger that had no adapter begins below its lowest layer, unless told otherwise.
    Raises ``ConfigurationError`` where other ones are asked for.
    """
    if configuration.start_from is None:
        return configuration
    config = NerTagger.from_pretrained(configuration.start_from).config
    changes: dict[str, Any] = {}
    for part in ("backbone", "head", "lora"):
        given, learnt = getattr(configuration, part), getattr(config, part)
        if learnt is not None:
            changes[part] = _as_learnt(given, learnt, configuration.start_from)
        elif configuration.adapt == "lora" and given.first_block is None:
            usual = for_depth(given, Backbone(changes["backbone"]).depth).first_block
            first = min(usual or 1, 1 + min(config.layers))
            changes[part] = given.model_copy(update={"first_block": first})
    return configuration.model_copy(update=changes)


def with_spacing(
    configuration: TrainingConfiguration, documents: Sequence[Document]
) -> TrainingConfiguration:
    """``configuration`` with the spacing of ``documents`` where it leaves it to them."""
    if configuration.backbone.spacing != "auto":
        return configuration
    spacing = "words" if are_single_spaced(documents) else "text"
    backbone = configuration.backbone.model_copy(update={"spacing": spacing})
    return configuration.model_copy(update={"backbone": backbone})


def first_tagger(configuration: TrainingConfiguration, sentences: Sequence[Sentence]) -> NerTagger:
    """The tagger to train on ``sentences``.

    Raises ``ConfigurationError`` for labels that the tagger to go on from lacks.
    """
    labels = {entity.label for sentence in sentences for entity in sentence.entities}
    if configuration.start_from is None:
        words = [word for sentence in sentences for word in sentence.words]
        return NerTagger.create(
            _backbone(configuration),
            sorted(labels),
            words,
            head=configuration.head,
            language=configuration.language,
        )
    start = NerTagger.from_pretrained(configuration.start_from)
    if missing := sorted(labels - set(start.labels)):
        raise ConfigurationError(
            f"{configuration.start_from}: does not have the label{'s' * (len(missing) > 1)} "
            f"{', '.join(missing)} of the training data; train a new tagger, without --start-from"
        )
    # With LoRA the updates go on learning beside the weights; else they are added to them.
    backbone = _backbone(configuration, start.adapter)
    if backbone.fingerprint != start.config.backbone_fingerprint:
        raise ConfigurationError(
            f"{configuration.start_from}: was trained on another backbone than "
            f"{configuration.backbone.model!r}"
        )
    changes = {"backbone": configuration.backbone, "head": configuration.head}
    tagger = NerTagger(
        start.config.model_copy(update=changes), backbone=backbone, adapter=start.adapter
    )
    tagger.network.load_state_dict(start.network.state_dict())
    return tagger


def _backbone(configuration: TrainingConfiguration, learnt: Adapter | None = None) -> Backbone:
    if configuration.adapt == "none":
        return Backbone(configuration.backbone, learnt)
    return backbone_to_adapt(configuration.backbone, configuration.lora)


def _as_learnt(given: BaseModel, learnt: BaseModel, folder: Path) -> BaseModel:
    """``learnt`` with what may differ taken from ``given``."""
    changes: dict[str, Any] = {}
    for name in given.model_fields_set:
        value = getattr(given, name)
        if name in _FREE:
            changes[name] = value
        elif value != getattr(learnt, name):
            raise ConfigurationError(
                f"{folder}: was trained with {name} = {getattr(learnt, name)!r}, not {value!r}; "
                f"leave {name} out to go on from it"
            )
    return learnt.model_copy(update=changes)
