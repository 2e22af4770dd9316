"""Measure how often 95% intervals of F1 hold the true F1, by simulation.

    python benchmarks/coverage.py

Corpora of 20 to 200 documents are drawn 1,000 times each. Documents differ in size (negative
binomial) and in difficulty (beta). Beside the interval that is used stands the plain percentile
interval of the bootstrap.
"""

from __future__ import annotations

import numpy as np

from llamaner.evaluation.intervals import DRAWS, f1_intervals

CORPORA = 1000
DOCUMENTS = (20, 50, 200)
# Mean entities a document, mean recall, its concentration (low: documents differ), invented ones.
SETTINGS = ((10, 0.9, 10, 0.05), (10, 0.7, 5, 0.2), (25, 0.95, 20, 0.03), (5, 0.99, 200, 0.01))


def draw(
    rng: np.random.Generator,
    documents: int,
    entities: float,
    recall: float,
    alike: float,
    made: float,
) -> np.ndarray:
    """Counts (U, 1, 3) of entities in both, in gold and found."""
    gold = rng.negative_binomial(2, 2 / (2 + entities), documents)
    both = rng.binomial(gold, rng.beta(recall * alike, (1 - recall) * alike, documents))
    found = both + rng.poisson(made * gold)
    return np.stack([both, gold, found], axis=1).astype(float)[:, None]


def percentile_intervals(counts: np.ndarray) -> np.ndarray:
    """(2, N): the 2.5th and 97.5th percentile of F1 over draws of documents."""
    rng, units = np.random.default_rng(0), len(counts)
    weights = rng.multinomial(units, np.full(units, 1 / units), DRAWS).astype(float)
    both, gold, found = (weights @ counts[:, :, part] for part in range(3))
    return np.percentile(2 * both / np.maximum(1, gold + found), [2.5, 97.5], axis=0)


def main() -> None:
    print("| documents | entities a document | true F1 | held | mean width | held by percentiles |")
    print("|--:|--:|--:|--:|--:|--:|", flush=True)
    for documents in DOCUMENTS:
        for setting in SETTINGS:
            rng = np.random.default_rng(1)
            both, gold, found = draw(rng, 2_000_000, *setting)[:, 0].sum(axis=0)
            truth = 2 * both / (gold + found)
            corpora = [draw(rng, documents, *setting) for _ in range(CORPORA)]
            counts = np.concatenate(corpora, axis=1)
            intervals = f1_intervals(counts)
            held = np.mean([low <= truth <= high for low, high in intervals])
            width = np.mean([high - low for low, high in intervals])
            low, high = percentile_intervals(counts)
            plain = np.mean((low <= truth) & (truth <= high))
            print(
                f"| {documents} | {setting[0]} | {truth:.3f} | {held:.1%} | {width:.3f} "
                f"| {plain:.1%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
