"""Precision, recall and F1 of entities, as seqeval counts them.

The headline is strict: an entity counts when its label and both ends are right, and an ill-formed
tag sequence is no entity (seqeval's ``mode="strict"`` with IOB2). Beside it stands seqeval's
default, which reads ill-formed tags as the conlleval script does.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2

from llamaner.corpus import Document, Sentence

BOOTSTRAP_DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Score:
    """Precision, recall and F1 between 0 and 1, and how many gold entities there are."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of one way of counting: over all entities (micro average), and for each label."""

    overall: Score
    labels: dict[str, Score]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What ``llamaner evaluate`` reports.

    ``interval`` is the 95% bootstrap interval of the strict F1, documents drawn with replacement.
    """

    strict: Scores
    conlleval: Scores
    interval: tuple[float, float]
    documents: int
    sentences: int
    words: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def evaluate(gold: Sequence[Document], predicted: Sequence[Sequence[Sentence]]) -> Evaluation:
    """Compare gold documents with the predicted sentences of each.

    Every gold word is scored. Raises ``ValueError`` where sentences differ in their words.
    """
    for document, sentences in zip(gold, predicted, strict=True):
        if [s.spans for s in document.sentences] != [s.spans for s in sentences]:
            raise ValueError(f"the sentences predicted for document {document.id!r} are others")
    true = [s.tags() for document in gold for s in document.sentences]
    found = [s.tags() for sentences in predicted for s in sentences]
    return Evaluation(
        strict=strict_scores(true, found),
        conlleval=conlleval_scores(true, found),
        interval=bootstrap_interval(gold, predicted),
        documents=len(gold),
        sentences=len(true),
        words=sum(map(len, true)),
    )


def strict_scores(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Scores:
    """Seqeval's strict IOB2 scores of BIO tags."""
    return _scores(gold, predicted, mode="strict", scheme=IOB2)


def conlleval_scores(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Scores:
    """Seqeval's default scores of BIO tags, which agree with the conlleval script."""
    return _scores(gold, predicted)


def bootstrap_interval(
    gold: Sequence[Document], predicted: Sequence[Sequence[Sentence]], seed: int = 0
) -> tuple[float, float]:
    """The 95% percentile interval of the micro F1, by drawing documents 1,000 times (Efron 1979).

    A corpus of one document is drawn by sentences.
    """
    pairs = [list(zip(d.sentences, s, strict=True)) for d, s in zip(gold, predicted, strict=True)]
    if len(pairs) == 1:
        pairs = [[pair] for pair in pairs[0]]
    counts = np.array([_counts(part) for part in pairs]).reshape(-1, 3)
    rng, shares = np.random.default_rng(seed), np.full(len(counts), 1 / max(1, len(counts)))
    f1 = [_f1(rng.multinomial(len(counts), shares) @ counts) for _ in range(BOOTSTRAP_DRAWS)]
    low, high = np.percentile(f1, [2.5, 97.5])
    return float(low), float(high)


def _f1(counts: npt.NDArray[np.int64]) -> float:
    both, gold, predicted = counts
    return float(2 * both / max(1, gold + predicted))


def _counts(pairs: Sequence[tuple[Sentence, Sentence]]) -> tuple[int, int, int]:
    """Entities in both, in gold, in the prediction."""
    both = sum(len(set(g.label_spans) & set(p.label_spans)) for g, p in pairs)
    return both, sum(len(g.entities) for g, _ in pairs), sum(len(p.entities) for _, p in pairs)


def _scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], **mode: Any
) -> Scores:
    if not any(tag != "O" for tags in (*gold, *predicted) for tag in tags):
        return Scores(Score(0.0, 0.0, 0.0, 0), {})
    with warnings.catch_warnings():
        # seqeval warns of labels without gold or predicted entities; the support shows them.
        warnings.simplefilter("ignore")
        report = classification_report(
            list(map(list, gold)),
            list(map(list, predicted)),
            output_dict=True,
            zero_division=0,
            **mode,
        )
    averages = {"micro avg", "macro avg", "weighted avg"}
    labels = {name: _score(row) for name, row in report.items() if name not in averages}
    return Scores(_score(report["micro avg"]), labels)


def _score(row: dict[str, Any]) -> Score:
    return Score(
        float(row["precision"]), float(row["recall"]), float(row["f1-score"]), int(row["support"])
    )
