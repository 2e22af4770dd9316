"""A tagger against annotated data."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from llamaner.backbone import FeatureStore, Vectors
from llamaner.backbone.alignment import subword_ranges
from llamaner.backbone.batches import token_budget_batches
from llamaner.backbone.tokenizer import BackboneTokenizer
from llamaner.corpus import Corpus, Document, LabelSpan, Sentence
from llamaner.evaluation.pairs import Pair, Predictions, Tagged, key_of
from llamaner.evaluation.prediction_files import TaggedData
from llamaner.evaluation.scores import Evaluation, evaluate
from llamaner.tagger import NerTagger

_WORDS_AT_ONCE = 4096


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


def predict_file(
    tagger: NerTagger, name: str, gold: TaggedData, store: FeatureStore
) -> Predictions:
    """What the tagger finds in an annotated file, with features of ``store``."""
    features = store.document_features(tagger.backbone, gold.documents)
    return predict(tagger, name, gold, features)


def predict(
    tagger: NerTagger, name: str, gold: TaggedData, features: Sequence[Vectors]
) -> Predictions:
    """What the tagger finds, from the vectors of the gold sentences, one (T, L, D) each.

    The confidence in each gold entity that was not found comes with it.
    """
    sentences = [tagged.sentence for tagged in gold.sentences]
    found = tuple(Tagged(s) for s in tagger.tag_features(sentences, features))
    pairs = tuple(TaggedData(name, gold.documents, found).pairs(gold))
    return Predictions(name, gold.documents, pairs, _gold_confidence(tagger, pairs, features))


def words_in_subwords(
    tokenizer: BackboneTokenizer, sentences: Sequence[Sentence]
) -> list[list[int]]:
    """How many subwords each word of each sentence has."""
    counted: list[list[int]] = []
    for sentence, subwords in zip(sentences, tokenizer([s.text for s in sentences]), strict=True):
        if not len(sentence):
            counted.append([])
            continue
        ranges = subword_ranges(sentence.spans, subwords.offsets)
        counted.append((ranges[:, 1] - ranges[:, 0] + 1).tolist())
    return counted


@torch.inference_mode()
def _gold_confidence(
    tagger: NerTagger, pairs: Sequence[Pair], features: Sequence[Vectors]
) -> dict[tuple[int, LabelSpan], float]:
    """The probability of each gold entity that was not found; 0 for labels it does not know."""
    missed = {number: spans for number, pair in enumerate(pairs) if (spans := _missed(pair))}
    numbers = list(missed)
    confidence = {(number, span): 0.0 for number, spans in missed.items() for span in spans}
    lengths = [len(pairs[number].gold.sentence) for number in numbers]
    for group in token_budget_batches(lengths, _WORDS_AT_ONCE):
        part = [numbers[index] for index in group]
        batch = tagger.batch([pairs[n].gold.sentence for n in part], [features[n] for n in part])
        known = [
            (row, number, span)
            for row, number in enumerate(part)
            for span in missed[number]
            if span.label in tagger.labels
        ]
        places = [(row, span.start, span.end - 1, span.label) for row, _, span in known]
        emissions = tagger.network.emissions(batch)
        values = tagger.network.crf.entity_confidence(emissions, batch.mask(), places).tolist()
        for (_, number, span), value in zip(known, values, strict=True):
            confidence[number, span] = value
    return confidence


def _missed(pair: Pair) -> list[LabelSpan]:
    found = {key_of(entity) for entity in pair.found.sentence.entities}
    return [key for entity in pair.gold.sentence.entities if (key := key_of(entity)) not in found]
