"""A tagger against annotated data."""

from __future__ import annotations

from llamaner.backbone import FeatureStore
from llamaner.corpus import Corpus
from llamaner.evaluation.scores import Evaluation, evaluate
from llamaner.tagger import NerTagger


def evaluate_tagger(tagger: NerTagger, corpus: Corpus, store: FeatureStore) -> Evaluation:
    """Tag all sentences of ``corpus``, with features of ``store``, and compare."""
    sentences = list(corpus.sentences)
    features = store.features(tagger.backbone, sentences)
    tagged = iter(tagger.tag_features(sentences, features))
    predicted = [[next(tagged) for _ in document.sentences] for document in corpus.documents]
    return evaluate(corpus.documents, predicted)
