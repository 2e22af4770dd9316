"""A tagger against annotated data."""

from __future__ import annotations

from collections.abc import Sequence

from llamaner.backbone import FeatureStore, Vectors
from llamaner.corpus import Corpus, Document
from llamaner.evaluation.scores import Evaluation, evaluate
from llamaner.tagger import NerTagger


def evaluate_tagger(tagger: NerTagger, corpus: Corpus, store: FeatureStore) -> Evaluation:
    """Tag all sentences of ``corpus``, with features of ``store``, and compare."""
    features = store.document_features(tagger.backbone, corpus.documents)
    return evaluate_features(tagger, corpus.documents, features)


def evaluate_features(
    tagger: NerTagger, documents: Sequence[Document], features: Sequence[Vectors]
) -> Evaluation:
    """Tag documents from the vectors of their sentences, one (T, L, D) each, and compare."""
    sentences = [sentence for document in documents for sentence in document.sentences]
    tagged = iter(tagger.tag_features(sentences, features))
    predicted = [[next(tagged) for _ in document.sentences] for document in documents]
    return evaluate(documents, predicted)
