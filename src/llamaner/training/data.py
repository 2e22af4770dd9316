"""The documents that a run learns from, and those that it is judged by."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace

import torch

from llamaner.configuration import TrainingConfiguration
from llamaner.corpus import Corpus, Document, Sentence, read_corpus, segment
from llamaner.errors import ConfigurationError
from llamaner.terminal import console

DEV_SHARE = 0.1


def read_documents(
    configuration: TrainingConfiguration,
) -> tuple[Sequence[Document], Sequence[Document]]:
    """Training and dev documents."""
    # Columns need no tokenizer, but the tagger does when it is given a text.
    segment("", configuration.language)
    if configuration.train is None:
        raise ConfigurationError("train: name the corpus to learn from, as --train FILE")
    corpus = _read(configuration, configuration.train)
    _require_entities(corpus.documents, configuration.train)
    if configuration.dev is None:
        train, dev = _hold_out(corpus)
    else:
        train, dev = corpus.documents, _read(configuration, configuration.dev).documents
    _require_entities(train, f"{configuration.train} without the part held out for dev")
    _require_entities(dev, configuration.dev or f"the part of {configuration.train} held out")
    return train, dev


def tell_labels_never_found(dev: Sequence[Document], labels: Sequence[str]) -> None:
    """Warn of labels of the dev data that are none of the tagger's ``labels``."""
    if missing := _labels(dev) - set(labels):
        console.print(
            f"warning: labels of the dev data that the training data lack, and that cannot be "
            f"found: {', '.join(sorted(missing))}"
        )


def _require_entities(documents: Sequence[Document], source: str) -> None:
    if not _labels(documents):
        raise ConfigurationError(
            f"{source}: has no entities; is the tag in the last column (else see --tag-column), "
            "and are the sentences annotated?"
        )


def _labels(documents: Sequence[Document]) -> set[str]:
    return {entity.label for s in sentences_of(documents) for entity in s.entities}


def _read(configuration: TrainingConfiguration, source: str) -> Corpus:
    return read_corpus(
        source,
        word_column=configuration.word_column,
        tag_column=configuration.tag_column,
        language=configuration.language,
    )


def _hold_out(corpus: Corpus) -> tuple[Sequence[Document], Sequence[Document]]:
    """A tenth of the documents, or of the sentences of a lone document, set aside for dev.

    They are the same for every seed, so that runs can be compared.
    """
    documents = list(corpus.documents)
    if len(documents) == 1:
        documents = [Document.from_sentences([s], documents[0].id) for s in corpus.sentences]
    if len(documents) < 2:
        raise ConfigurationError("one sentence is not enough to train on; give --dev as well")
    order = torch.randperm(len(documents), generator=torch.Generator().manual_seed(0)).tolist()
    count = max(1, round(len(documents) * DEV_SHARE))
    annotated = [index for index in order if _labels([documents[index]])]
    if annotated and annotated[0] not in order[:count]:
        # Of few documents a tenth may have no entities, and by it nothing could be judged.
        order.insert(0, order.pop(order.index(annotated[0])))
    held_out = set(order[:count])
    console.print(f"no --dev given: {count} of {len(documents)} documents are held out for it")
    return (
        [document for i, document in enumerate(documents) if i not in held_out],
        [document for i, document in enumerate(documents) if i in held_out],
    )


def copies_read_alone(documents: Sequence[Document], share: float) -> list[Document]:
    """Copies of a share of the documents, each sentence of which is read by itself.

    They are the same each time, so that their features can be stored.
    """
    rng = random.Random(0)
    return [
        replace(document, coherent=False)
        for document in documents
        if rng.random() < share and document.coherent and len(document.sentences) > 1
    ]


def sentences_of(documents: Sequence[Document]) -> list[Sentence]:
    """All sentences in order."""
    return [sentence for document in documents for sentence in document.sentences]


def data_digest(backbone_key: str, *parts: Sequence[Document]) -> str:
    """A digest of the documents' words and entities, and of the features' key."""
    digest = hashlib.sha256(backbone_key.encode())
    for part in parts:
        for document in part:
            for sentence in document.sentences:
                digest.update(repr((sentence.text, sentence.spans, sentence.label_spans)).encode())
            digest.update(b"coherent" if document.coherent else b"apart")
        digest.update(b"\n")
    return digest.hexdigest()
