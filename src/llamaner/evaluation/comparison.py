"""Two systems on the same data: how much better one is, how sure that is, and where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from llamaner.corpus import Entity
from llamaner.evaluation.frames import frame
from llamaner.evaluation.intervals import Interval, paired_differences, randomisation_p
from llamaner.evaluation.pairs import Predictions, key_of
from llamaner.evaluation.report import entity_dict, shown
from llamaner.evaluation.scores import label_counts, score

if TYPE_CHECKING:
    import pandas as pd

SHUFFLES = 10_000

Verdict = Literal["only first right", "only second right", "both wrong"]


@dataclass(frozen=True, slots=True)
class Difference:
    """Strict F1 of both systems, over all entities (``label`` is ``None``) or of one label.

    ``difference`` is that of the second less that of the first, ``interval`` its 95% interval;
    both p-values are two-sided.
    """

    label: str | None
    first: float
    second: float
    difference: float
    interval: Interval | None
    bootstrap_p: float
    randomisation_p: float


@dataclass(frozen=True, slots=True)
class DifferentSentence:
    """A sentence in which the systems found different entities."""

    number: int
    document: str
    text: str
    verdict: Verdict
    gold: tuple[Entity, ...]
    first: tuple[Entity, ...]
    second: tuple[Entity, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "number": self.number,
            "document": self.document,
            "text": self.text,
            "verdict": self.verdict,
            "gold": [entity_dict(entity) for entity in self.gold],
            "first": [entity_dict(entity) for entity in self.first],
            "second": [entity_dict(entity) for entity in self.second],
        }


@dataclass(frozen=True)
class Comparison:
    """Two systems; ``differences`` begin with that over all entities."""

    first: str
    second: str
    differences: tuple[Difference, ...]
    sentences: tuple[DifferentSentence, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "first": self.first,
            "second": self.second,
            "differences": [asdict(difference) for difference in self.differences],
            "sentences": [sentence.to_dict() for sentence in self.sentences],
        }

    def frames(self) -> dict[str, pd.DataFrame]:
        """The differences, and the sentences, as pandas frames."""
        rows = [asdict(difference) for difference in self.differences]
        for row in rows:
            row["low"], row["high"] = row.pop("interval") or (None, None)
        named = ("number", "document", "text", "verdict")
        return {
            "differences": frame(rows),
            "sentences": frame(
                ({name: getattr(s, name) for name in named} for s in self.sentences), named
            ),
        }


def compare(first: Predictions, second: Predictions) -> Comparison:
    """Compare two systems' predictions for the same gold documents.

    Raises ``ValueError`` where the gold data differ.
    """
    if first.documents != second.documents:
        raise ValueError("the two systems were not given the same gold data")
    return Comparison(
        first.name,
        second.name,
        tuple(_differences(first, second)),
        tuple(_sentences(first, second)),
    )


def _differences(first: Predictions, second: Predictions) -> Iterator[Difference]:
    labels = sorted({*first.labels, *second.labels})
    one, other = label_counts(first, labels), label_counts(second, labels)
    paired = paired_differences(one, other)
    for number, label in enumerate((None, *labels)):
        yield Difference(
            label,
            score(one[:, number].sum(axis=0)).f1,
            score(other[:, number].sum(axis=0)).f1,
            paired[number].value,
            paired[number].interval,
            paired[number].p,
            randomisation_p(one[:, number], other[:, number], shuffles=SHUFFLES),
        )


def _sentences(first: Predictions, second: Predictions) -> Iterator[DifferentSentence]:
    for number, (one, other) in enumerate(zip(first.pairs, second.pairs, strict=True)):
        gold, a, b = one.gold.strict, one.found.strict, other.found.strict
        if not (a or b):
            continue
        truth, found_a, found_b = ({key_of(e) for e in part} for part in (gold, a, b))
        if found_a == found_b:
            continue
        verdict: Verdict = "both wrong"
        if truth in (found_a, found_b):
            verdict = "only first right" if found_a == truth else "only second right"
        place = shown(first, number)
        yield DifferentSentence(number, place.document, place.text, verdict, gold, a, b)
