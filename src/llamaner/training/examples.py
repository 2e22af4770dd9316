"""Annotated sentences as the network learns from them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from llamaner.backbone import Adapter, Features, FeatureStore, Vectors
from llamaner.corpus import Document
from llamaner.tagger import NerTagger, WordBatch
from llamaner.training.data import sentences_of

_BATCHES_IN_POOL = 32


class Examples(Protocol):
    """What a run learns from and is judged by."""

    updates: nn.ParameterList
    """What is learnt besides the network."""

    def batches(self, size: int, seed: int, epoch: int) -> list[list[int]]:
        """Numbers of examples, about ``size`` sentences a batch, in the order of an epoch."""

    def load(self, indices: Sequence[int]) -> tuple[WordBatch, Tensor]:
        """A batch and its gold tags (B, T), 0 at padding."""

    def steps(self, size: int) -> int:
        """How many batches an epoch has."""

    def dev_vectors(self) -> Sequence[Vectors]:
        """The vectors (T, L, D) of the dev sentences, as the backbone is now."""

    def adapter(self) -> Adapter | None:
        """What the backbone has learnt."""


class StoredExamples:
    """Sentences with words, their stored features, and their gold tags."""

    def __init__(
        self,
        tagger: NerTagger,
        store: FeatureStore,
        documents: Sequence[Document],
        dev_documents: Sequence[Document],
    ) -> None:
        sentences = sentences_of(documents)
        features = store.document_features(tagger.backbone, [*documents, *dev_documents])
        self.updates = nn.ParameterList()
        self._tagger, self._sentences = tagger, sentences
        self._features: Features = features.part(0, len(sentences))
        self._dev_features = features.part(len(sentences), len(features))
        numbers = {tag: number for number, tag in enumerate(tagger.network.crf.tags)}
        self._tags = [
            torch.tensor([numbers[tag] for tag in sentence.tags("BIOES")]) for sentence in sentences
        ]
        self._usable = [index for index, sentence in enumerate(sentences) if len(sentence)]

    def batches(self, size: int, seed: int, epoch: int) -> list[list[int]]:
        """All sentences in batches of similar length, in an order that seed and epoch decide."""
        rng = random.Random(f"{seed}/{epoch}")
        order = rng.sample(self._usable, len(self._usable))
        pool = size * _BATCHES_IN_POOL
        pools = (
            sorted(order[i : i + pool], key=lambda index: len(self._sentences[index]))
            for i in range(0, len(order), pool)
        )
        batches = [part[i : i + size] for part in pools for i in range(0, len(part), size)]
        rng.shuffle(batches)
        return batches

    def load(self, indices: Sequence[int]) -> tuple[WordBatch, Tensor]:
        """A batch and its gold tags (B, T), 0 at padding."""
        batch = self._tagger.batch(
            [self._sentences[i] for i in indices], [self._features[i] for i in indices]
        )
        mask = batch.mask()
        tags = torch.zeros(mask.shape, dtype=torch.long, device=mask.device)
        tags[mask] = torch.cat([self._tags[i] for i in indices]).to(mask.device)
        return batch, tags

    def steps(self, size: int) -> int:
        """How many batches an epoch has."""
        return math.ceil(len(self._usable) / size)

    def dev_vectors(self) -> Sequence[Vectors]:
        """The vectors of the dev sentences."""
        return self._dev_features

    def adapter(self) -> Adapter | None:
        """What the tagger that the run went on from had learnt."""
        return self._tagger.backbone.adapter
