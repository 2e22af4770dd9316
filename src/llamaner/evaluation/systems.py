"""Systems to be evaluated: taggers in folders and predictions in files, on the same gold data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from llamaner.backbone import Backbone, FeatureStore
from llamaner.configuration import (
    BackboneSettings,
    Inputs,
    TrainingConfiguration,
    configuration_of_run,
)
from llamaner.corpus import Corpus, read_corpus
from llamaner.errors import ConfigurationError, CorpusError, LlamanerError, Problem, TaggerError
from llamaner.evaluation.pairs import Predictions
from llamaner.evaluation.prediction_files import TaggedData, read_predictions, read_tagged
from llamaner.evaluation.report import NO_SUBWORDS, NO_TRAINING, Report, analyse
from llamaner.evaluation.tagging import predict_file, words_in_subwords
from llamaner.tagger import NerTagger


class System(NamedTuple):
    """What a system found, and the tagger that it is, if it is one."""

    predictions: Predictions
    tagger: NerTagger | None


def read_systems(paths: Sequence[Path], inputs: Inputs) -> list[System]:
    """The predictions of taggers (folders) and of files, all for the same gold data.

    Raises ``TaggerError``, ``CorpusError`` or ``ConfigurationError`` where a part is missing, or
    the parts do not belong together.
    """
    taggers = [_tagger(path, inputs) if _is_folder(path) else None for path in paths]
    gold = _gold(taggers, inputs)
    systems: list[System] = []
    for path, tagger in zip(paths, taggers, strict=True):
        if tagger is not None and gold is not None:
            predictions = predict_file(tagger, str(path), gold, FeatureStore(inputs.store))
        else:
            own, predictions = read_predictions(
                path, gold, word_column=inputs.word_column, tag_column=inputs.tag_column
            )
            if gold is None and systems:
                _require_same_gold(systems[0].predictions, predictions, own.path)
        systems.append(System(predictions, tagger))
    return systems


def report_on(system: System, inputs: Inputs) -> Report:
    """The whole report of a system; what cannot be told for want of data says so."""
    corpus, no_training = training_corpus(system, inputs)
    subwords = None
    if system.tagger is not None or inputs.backbone is not None:
        backbone = system.tagger.backbone if system.tagger else _backbone(inputs)
        sentences = [pair.gold.sentence for pair in system.predictions.pairs]
        subwords = words_in_subwords(backbone.tokenizer, sentences)
    return analyse(
        system.predictions,
        data=inputs.data or system.predictions.name,
        training=None if corpus is None else corpus.sentences,
        subwords=subwords,
        no_training=no_training,
        no_subwords=NO_SUBWORDS,
    )


def _is_folder(path: Path) -> bool:
    if not path.exists():
        raise TaggerError(
            f"{path}: no such folder or file; give the folder of a tagger, or a file of predictions"
        )
    return path.is_dir()


def _tagger(path: Path, inputs: Inputs) -> NerTagger:
    given: dict[str, Any] = {
        "model": inputs.backbone,
        "device": inputs.device,
        "precision": inputs.precision,
    }
    settings = {name: value for name, value in given.items() if value is not None}
    return NerTagger.from_pretrained(path, **settings)


def _gold(taggers: Sequence[NerTagger | None], inputs: Inputs) -> TaggedData | None:
    languages = [tagger.config.language for tagger in taggers if tagger is not None]
    if inputs.data is not None:
        return read_tagged(
            inputs.data,
            word_column=inputs.word_column,
            tag_column=inputs.tag_column,
            language=languages[0] if languages else "en",
        )
    if languages:
        raise ConfigurationError(
            "name the annotated data that the tagger is to tag, as --data FILE"
        )
    return None


def _require_same_gold(first: Predictions, second: Predictions, path: str) -> None:
    pairs = zip(first.pairs, second.pairs, strict=False)
    same = len(first.pairs) == len(second.pairs) and all(
        (one.gold.sentence.words, one.gold.sentence.label_spans)
        == (other.gold.sentence.words, other.gold.sentence.label_spans)
        for one, other in pairs
    )
    if not same:
        found = f"the words and gold tags are not those of {first.name}"
        advice = "give files with the same gold data, or the gold data as --data"
        raise CorpusError([Problem(path, None, found, advice)])


def training_corpus(system: System, inputs: Inputs) -> tuple[Corpus | None, str]:
    """What the system learned from, or why it is not known."""
    if inputs.train is not None:
        return _corpus(inputs.train, inputs), ""
    run = None if system.tagger is None else configuration_of_run(Path(system.predictions.name))
    if run is None or run.train is None:
        return None, NO_TRAINING
    try:
        return _corpus(run.train, run), ""
    except LlamanerError:
        return None, f"the training data {run.train} cannot be read here; name them with --train"


def _corpus(source: str, columns: Inputs | TrainingConfiguration) -> Corpus:
    return read_corpus(source, word_column=columns.word_column, tag_column=columns.tag_column)


def _backbone(inputs: Inputs) -> Backbone:
    return Backbone(BackboneSettings(model=inputs.backbone or "default"))
