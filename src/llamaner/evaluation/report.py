"""Everything that the report of one system tells, as dataclasses, JSON and pandas frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from llamaner.corpus import Entity, Sentence
from llamaner.evaluation.breakdowns import (
    Breakdown,
    by_entity_length,
    by_sentence_length,
    by_subwords,
    by_training,
)
from llamaner.evaluation.calibration import Calibration, calibration
from llamaner.evaluation.confusion import Confusion, confusion
from llamaner.evaluation.disagreements import Disagreement, disagreements
from llamaner.evaluation.frames import frame
from llamaner.evaluation.pairs import Predictions
from llamaner.evaluation.scores import Evaluation, Score, evaluate_predictions
from llamaner.evaluation.views import View, views

if TYPE_CHECKING:
    import pandas as pd

LIKELY = 0.9
"""From this suspicion on a disagreement is called a likely annotation mistake."""

HELD_OUT = "held-out documents"
"""The name of dev data that a run set aside from its training data."""

NO_CONFIDENCE = "these predictions have no confidences, as a tagger or its JSON lines have them"
NOTHING_FOUND = "the system found nothing"
NO_TRAINING = "what the system was trained on is not known; name it with --train"
NO_SUBWORDS = "whose subwords to count is not known; name a backbone with --backbone"


@dataclass(frozen=True, slots=True)
class ShownSentence:
    """A sentence to be shown: number in the data, name of its document, text and entities.

    Offsets of entities count in ``text``. ``loose`` are those found entities that strict scoring
    does not count because their tags are ill-formed.
    """

    number: int
    document: str
    text: str
    gold: tuple[Entity, ...]
    found: tuple[Entity, ...]
    loose: tuple[Entity, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "number": self.number,
            "document": self.document,
            "text": self.text,
            "gold": [entity_dict(entity) for entity in self.gold],
            "found": [entity_dict(entity) for entity in self.found],
            "loose": [entity_dict(entity) for entity in self.loose],
        }


@dataclass(frozen=True)
class Report:
    """One system on one data set.

    ``sentences`` are those with an error, by their number in the data. ``calibration`` is ``None``
    where there are no confidences, and ``no_confidence`` then says why.
    """

    name: str
    data: str
    evaluation: Evaluation
    views: tuple[View, ...]
    errors: tuple[Disagreement, ...]
    sentences: dict[int, ShownSentence]
    confusion: Confusion
    breakdowns: tuple[Breakdown, ...]
    calibration: Calibration | None
    no_confidence: str | None
    notes: tuple[str, ...] = ()

    def likely_mistakes(self, minimum: float = LIKELY) -> list[Disagreement]:
        """Where the system is at least so sure that gold is wrong, the surest first."""
        suspected = [(error.suspicion, error) for error in self.errors]
        sure = [(s, error) for s, error in suspected if s is not None and s >= minimum]
        return [error for _, error in sorted(sure, key=lambda pair: -pair[0])]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        calibrated = self.calibration
        return {
            "name": self.name,
            "data": self.data,
            **self.evaluation.to_dict(),
            "views": [asdict(view) for view in self.views],
            "errors": [error_dict(error) for error in self.errors],
            "sentences": [sentence.to_dict() for sentence in self.sentences.values()],
            "confusion": asdict(self.confusion),
            "breakdowns": [asdict(breakdown) for breakdown in self.breakdowns],
            "calibration": None if calibrated is None else asdict(calibrated),
            "no_confidence": self.no_confidence,
            "notes": list(self.notes),
        }

    def frames(self) -> dict[str, pd.DataFrame]:
        """The report as pandas frames: scores, views, errors, confusion and so on by name."""
        labels = [label or "nothing" for label in self.confusion.labels]
        calibrated = self.calibration
        frames = {
            "scores": frame(_score_rows(self.evaluation)),
            "views": frame(asdict(view) for view in self.views),
            "errors": frame(self._error_rows(self.errors), _ERROR_COLUMNS),
            "likely_mistakes": frame(self._error_rows(self.likely_mistakes()), _ERROR_COLUMNS),
            "confusion": frame(
                dict(zip(("gold", *labels), (label, *row), strict=True))
                for label, row in zip(labels, self.confusion.counts, strict=True)
            ),
            "breakdowns": frame(
                {"by": breakdown.title, "group": group, **_flat(score)}
                for breakdown in self.breakdowns
                for group, score in breakdown.groups.items()
            ),
        }
        if calibrated is not None:
            frames["reliability"] = frame(asdict(b) for b in calibrated.bins)
            frames["curve"] = frame(asdict(point) for point in calibrated.curve)
        return frames

    def _error_rows(self, errors: Iterable[Disagreement]) -> Iterator[dict[str, Any]]:
        for error in errors:
            sentence = self.sentences[error.sentence]
            yield dict(
                zip(
                    _ERROR_COLUMNS,
                    (
                        error.sentence,
                        sentence.document,
                        error.kind,
                        *_seen(error.gold),
                        *_seen(error.found),
                        error.found.confidence if error.found else None,
                        error.gold_confidence,
                        error.suspicion,
                        sentence.text,
                    ),
                    strict=True,
                )
            )


_ERROR_COLUMNS = (
    "sentence",
    "document",
    "kind",
    "gold_label",
    "gold_text",
    "found_label",
    "found_text",
    "confidence",
    "gold_confidence",
    "suspicion",
    "sentence_text",
)


def analyse(
    predictions: Predictions,
    *,
    data: str = "",
    training: Iterable[Sentence] | None = None,
    subwords: Sequence[Sequence[int]] | None = None,
    no_training: str = NO_TRAINING,
    no_subwords: str = NO_SUBWORDS,
    notes: Iterable[str] = (),
) -> Report:
    """Look at predictions from all sides.

    ``training`` are the sentences that the system learned from, ``subwords`` the number of
    subwords of each word, a row a sentence; where they are not given, ``no_training`` and
    ``no_subwords`` say why in the report.
    """
    errors = tuple(disagreements(predictions))
    confident = predictions.has_confidence
    evaluation = evaluate_predictions(predictions)
    found = evaluation.conlleval.overall.found
    numbers = {error.sentence for error in errors}
    return Report(
        name=predictions.name,
        data=data,
        evaluation=evaluation,
        views=views(predictions),
        errors=errors,
        sentences={number: shown(predictions, number) for number in sorted(numbers)},
        confusion=confusion(predictions),
        breakdowns=(
            by_training(predictions, training, no_training),
            by_entity_length(predictions),
            by_sentence_length(predictions),
            by_subwords(predictions, subwords, no_subwords),
        ),
        calibration=calibration(predictions) if confident else None,
        no_confidence=None if confident else NO_CONFIDENCE if found else NOTHING_FOUND,
        notes=(*notes_on(predictions), *notes),
    )


def shown(predictions: Predictions, number: int) -> ShownSentence:
    """A sentence by its number, with the entities that count."""
    pair = predictions.pairs[number]
    document = predictions.documents[pair.document].id or f"document {pair.document + 1}"
    loose = tuple(e for e in pair.found.sentence.entities if e.word_start in pair.found.loose)
    text = pair.gold.sentence.text
    return ShownSentence(number, document, text, pair.gold.strict, pair.found.strict, loose)


def entity_dict(entity: Entity) -> dict[str, Any]:
    """What JSON has of an entity; its text is that of the sentence from start to end."""
    fields = {"label": entity.label, "start": entity.start, "end": entity.end}
    return fields if entity.confidence is None else {**fields, "confidence": entity.confidence}


def error_dict(error: Disagreement) -> dict[str, Any]:
    """What JSON has of an error."""
    return {
        "sentence": error.sentence,
        "kind": error.kind,
        "gold": None if error.gold is None else entity_dict(error.gold),
        "found": None if error.found is None else entity_dict(error.found),
        "gold_confidence": error.gold_confidence,
        "suspicion": error.suspicion,
    }


def notes_on(predictions: Predictions) -> Iterator[str]:
    """What to tell of entities that only conlleval counts, and of labels that cannot agree."""
    for whose in ("gold", "found"):
        count = sum(len(getattr(pair, whose).loose) for pair in predictions.pairs)
        if count:
            yield (
                f"{count:,} {whose} entities have ill-formed tags, as I- without B-: "
                "strict scoring does not count them, conlleval does"
            )
    gold, found = (
        sorted({e.label for p in predictions.pairs for e in getattr(p, whose).sentence.entities})
        for whose in ("gold", "found")
    )
    if gold and found and not set(gold) & set(found):
        yield (
            f"no label is in both the gold data ({', '.join(gold)}) and what was found "
            f"({', '.join(found)}), so nothing can be right: other data, or another --tag-column?"
        )


def _seen(entity: Entity | None) -> tuple[str | None, str | None]:
    return (None, None) if entity is None else (entity.label, entity.text)


def _score_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for mode, scores in (("strict", evaluation.strict), ("conlleval", evaluation.conlleval)):
        for label, score in (("all", scores.overall), *scores.labels.items()):
            yield {"mode": mode, "label": label, **_flat(score)}


def _flat(score: Score) -> dict[str, Any]:
    low, high = score.interval or (None, None)
    fields = asdict(replace(score, interval=None))
    del fields["interval"]
    return {**fields, "low": low, "high": high}
