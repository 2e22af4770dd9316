"""Annotated sentences as the network learns from them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import torch
from torch import Tensor

from llamaner.backbone import Features
from llamaner.corpus import Sentence
from llamaner.tagger import NerTagger, WordBatch

_BATCHES_IN_POOL = 32


class Examples:
    """Sentences with words, their features, and their gold tags."""

    def __init__(
        self, tagger: NerTagger, sentences: Sequence[Sentence], features: Features
    ) -> None:
        self._tagger, self._sentences, self._features = tagger, sentences, features
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

    def __len__(self) -> int:
        return len(self._usable)

    def steps(self, size: int) -> int:
        """How many batches an epoch has."""
        return math.ceil(len(self) / size)
