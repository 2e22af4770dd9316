"""Predictions made by hand."""

import pytest

from llamaner.corpus import Document, LabelSpan, Sentence
from llamaner.evaluation import Predictions


@pytest.fixture
def predictions_of():
    """A function from documents of (words, gold spans, found spans) rows to predictions.

    A found span may have a confidence as its fourth part.
    """
    return made_predictions


@pytest.fixture
def mixed(predictions_of):
    """Each kind of error once or more, hostile text among them, in five documents."""
    paris = (["Ana", "flew", "to", "Paris", "."], [("PER", 0, 1), ("LOC", 3, 4)])
    right = (*paris, [("PER", 0, 1, 0.99), ("LOC", 3, 4, 0.97)])
    hostile = ["</script><img", "src=x", "onerror=alert(1)>", "👩‍🚀", "&lt;b&gt;", "Oslo"]
    return predictions_of(
        [right, (*paris, [("PER", 0, 1, 0.9), ("PER", 3, 4, 0.95)])],
        [(*paris, [("PER", 0, 1, 0.8)]), right],
        [(["New", "York", "Times"], [("ORG", 0, 3)], [("ORG", 0, 2, 0.6)])],
        [(["New", "York", "Times"], [("ORG", 0, 3)], [("LOC", 0, 2, 0.7)]), right],
        [(hostile, [("LOC", 5, 6)], [("<i>X</i>", 3, 4, 0.4), ("LOC", 5, 6, 0.5)])],
    )


def made_predictions(*documents, name="system"):
    gold, found = [], []
    for rows in documents:
        sentences = [Sentence.from_words(words) for words, _, _ in rows]
        true = [s.with_entities(spans_of(g)) for s, (_, g, _) in zip(sentences, rows, strict=True)]
        gold.append(Document.from_sentences(true))
        found.append(
            [
                s.with_entities(spans_of(f), [part[3] for part in f] if len(f[0]) > 3 else None)
                if f
                else s
                for s, (_, _, f) in zip(gold[-1].sentences, rows, strict=True)
            ]
        )
        found[-1] = [
            s if f else s.with_entities([]) for s, (_, _, f) in zip(found[-1], rows, strict=True)
        ]
    return Predictions.of(name, gold, found)


def spans_of(parts):
    return [LabelSpan(*part[:3]) for part in parts]
