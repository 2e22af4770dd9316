"""Learning with a backbone that is adapted: its upper blocks run, and learn, in each step."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import torch
from torch import Tensor, nn

from llamaner.backbone import Backbone, Features, FeatureStore, LowerStates, Vectors
from llamaner.backbone.adapter import (
    Adapter,
    adapter_weights,
    for_depth,
    insert_adapter,
    mixed_precision,
)
from llamaner.backbone.assembly import Assembly, normalised, pool_rows
from llamaner.backbone.passages import Passage
from llamaner.backbone.rows import Row
from llamaner.configuration import BackboneSettings, LoraSettings
from llamaner.corpus import Document, Sentence
from llamaner.errors import ConfigurationError
from llamaner.tagger import NerTagger, WordBatch
from llamaner.tagger.crf import UNKNOWN_TAG
from llamaner.training.data import sentences_of

_BATCHES_IN_POOL = 16


def backbone_to_adapt(settings: BackboneSettings, lora: LoraSettings) -> Backbone:
    """The backbone that ``settings`` describe, read at no layer below the adapted blocks.

    Raises ``ConfigurationError`` where such a layer is asked for: what stands there when the
    blocks run would not be known. So it does where no block is adapted that is read.
    """
    backbone = Backbone(settings, learns=True)
    first = for_depth(lora, backbone.depth).first_block
    assert first is not None
    if first > max(backbone.layers):
        raise ConfigurationError(
            f"blocks from {first} on are adapted, and none above {max(backbone.layers)} is read: "
            "choose a higher layer, or a lower lora.first_block"
        )
    layers = tuple(layer for layer in backbone.layers if layer >= first - 1)
    if layers == backbone.layers:
        return backbone
    if settings.layers or not layers:
        raise ConfigurationError(
            f"blocks from {first} on are adapted, so layers from {first - 1} on can be used, not "
            f"{', '.join(str(layer) for layer in backbone.layers if layer not in layers)}: choose "
            "other layers, or a lower lora.first_block"
        )
    return Backbone(settings.model_copy(update={"layers": layers}), learns=True)


class LowerFeatures:
    """The rows of documents and the stored states that go into the adapted blocks."""

    def __init__(
        self,
        backbone: Backbone,
        store: FeatureStore,
        settings: LoraSettings,
        documents: Sequence[Document],
    ) -> None:
        self.sentences = sentences_of(documents)
        self.passages: list[Passage] = backbone.passages(documents)
        self.rows: list[Row] = backbone.rows(self.passages)
        assert settings.first_block is not None
        lower = LowerStates(backbone, settings.first_block)
        self._features: Features = store.features(lower, self.passages)
        self._starts = _starts_in_passages(self.rows)

    def states(self, index: int) -> Tensor:
        """The states (S, D) of a row, in float16."""
        row, start = self.rows[index], self._starts[index]
        stored = self._features[row.passage][start : start + len(row), 0]
        return torch.from_numpy(np.array(stored))


@dataclass(frozen=True, slots=True)
class _Piece:
    """The part of a sentence that one row reads, with -1 for tags that it cannot know."""

    words: Sequence[str]
    tags: list[int]


class AdaptedExamples:
    """Rows of the training documents, through the adapted blocks, with their gold tags."""

    def __init__(
        self,
        tagger: NerTagger,
        store: FeatureStore,
        documents: Sequence[Document],
        dev_documents: Sequence[Document],
        settings: LoraSettings,
        start: Adapter | None = None,
    ) -> None:
        backbone = tagger.backbone
        settings = for_depth(settings, backbone.depth)
        assert settings.first_block is not None
        self._tagger, self._backbone, self._settings = tagger, backbone, settings
        self._lower = LowerFeatures(backbone, store, settings, documents)
        self._dev = LowerFeatures(backbone, store, settings, dev_documents)
        self.blocks = backbone.load_blocks(backbone.layers, first=settings.first_block)
        self.updates = nn.ParameterList(
            start.insert_into(self.blocks) if start else insert_adapter(self.blocks, settings)
        )
        if settings.gradient_checkpointing or (
            settings.gradient_checkpointing is None and backbone.device.type != "cpu"
        ):
            self.blocks.recompute()
        self._pieces = _pieces(self._lower, tagger.network.crf.tags)
        alone = [len(pieces) == 1 for pieces in self._pieces]
        self._kinds = [
            [index for index, lone in enumerate(alone) if lone == kind] for kind in (False, True)
        ]
        """Rows of many sentences and rows of one: a batch holds about as many of either kind."""

    def adapter(self) -> Adapter:
        """What has been learnt."""
        return Adapter(self._settings, adapter_weights(self.blocks))

    def batches(self, size: int, seed: int, epoch: int) -> list[list[int]]:
        """All rows in batches of similar length, in an order that seed and epoch decide."""
        rng = random.Random(f"{seed}/{epoch}")
        batches: list[list[int]] = []
        for kind in self._kinds:
            rows = self._rows_in_batch(kind, size)
            order, pool = rng.sample(kind, len(kind)), rows * _BATCHES_IN_POOL
            pools = (
                sorted(order[i : i + pool], key=lambda index: len(self._lower.rows[index]))
                for i in range(0, len(order), pool)
            )
            batches += (part[i : i + rows] for part in pools for i in range(0, len(part), rows))
        rng.shuffle(batches)
        return batches

    def load(self, indices: Sequence[int]) -> tuple[WordBatch, Tensor]:
        """A batch and its gold tags (B, T), 0 at padding; gradients reach the updates."""
        self.blocks.train()
        states = self._upper(self._lower, indices)
        rows = [self._lower.rows[i] for i in indices]
        vectors = normalised(torch.cat(pool_rows(rows, states)))
        pieces = [piece for i in indices for piece in self._pieces[i]]
        characters = self._tagger.alphabet.spell(word for piece in pieces for word in piece.words)
        lengths = torch.tensor([len(piece.words) for piece in pieces], dtype=torch.long)
        batch = WordBatch(vectors, characters, lengths).to(vectors.device)
        mask = batch.mask()
        tags = torch.zeros(mask.shape, dtype=torch.long, device=mask.device)
        tags[mask] = torch.tensor([tag for piece in pieces for tag in piece.tags]).to(mask.device)
        return batch, tags

    def dev_vectors(self) -> list[Vectors]:
        """The vectors (T, L, D) of the dev sentences, as the blocks are now."""
        self.blocks.eval()
        lower = self._dev
        assembly = Assembly([len(passage) for passage in lower.passages], lower.rows)
        found: dict[int, Vectors] = {}
        lengths = [len(row) for row in lower.rows]

        @torch.inference_mode()
        def upper(indices: list[int]) -> Tensor:
            return self._upper(lower, indices)

        for indices, states in self._backbone.budget.batches(lengths, upper):
            found.update(assembly.add([lower.rows[i] for i in indices], states))
        words = np.concatenate([found[i] for i in sorted(found)])
        ends = np.cumsum([len(sentence) for sentence in lower.sentences])[:-1]
        return np.split(words, ends)

    def steps(self, size: int) -> int:
        """How many batches an epoch has."""
        return sum(math.ceil(len(kind) / self._rows_in_batch(kind, size)) for kind in self._kinds)

    def _rows_in_batch(self, kind: Sequence[int], size: int) -> int:
        """As many as hold about ``size`` sentences."""
        sentences = sum(len(self._pieces[index]) for index in kind)
        return max(1, round(size * len(kind) / max(1, sentences)))

    def _upper(self, lower: LowerFeatures, indices: Sequence[int]) -> Tensor:
        """States (rows, S, L, D) of the layers used."""
        states = [lower.states(i) for i in indices]
        start = nn.utils.rnn.pad_sequence(states, batch_first=True)
        start = start.to(self._backbone.device, self.blocks.dtype)
        lengths = torch.tensor([len(part) for part in states], device=start.device)
        ids = torch.zeros(start.shape[:2], dtype=torch.long, device=start.device)
        with mixed_precision(self.blocks):
            found: Tensor = self.blocks(ids, lengths, start)
        return found


def clipped_tags(tags: Sequence[str], start: int, end: int) -> list[str | None]:
    """The BIOES tags from ``start`` to ``end``; None for words of an entity that is cut there."""
    clipped: list[str | None] = list(tags[start:end])
    for index in range(len(clipped)):
        if tags[start + index][0] not in "IE":
            break
        clipped[index] = None
    for index in reversed(range(len(clipped))):
        if tags[start + index][0] not in "BI":
            break
        clipped[index] = None
        if tags[start + index][0] == "B":
            break
    return clipped


def _pieces(lower: LowerFeatures, names: Sequence[str]) -> list[list[_Piece]]:
    """For each row the parts of sentences that it reads.

    A word whose last subwords are in the next row is learnt from there, and here as unlabelled.
    """
    numbers: dict[str | None, int] = {name: number for number, name in enumerate(names)}
    numbers[None] = UNKNOWN_TAG
    sentences = lower.sentences
    tags = [sentence.tags("BIOES") for sentence in sentences]
    sentence_starts = np.cumsum([0, *(len(sentence) for sentence in sentences)])
    passage_starts = np.cumsum([0, *(len(passage) for passage in lower.passages)])
    found = []
    for row, following in zip_longest(lower.rows, lower.rows[1:]):
        begin = int(passage_starts[row.passage]) + row.first_word
        end = int(passage_starts[row.passage]) + row.end_word
        pieces = [
            _piece(sentences[index], tags[index], start, stop, numbers)
            for index, start, stop in _parts(sentence_starts, begin, end)
        ]
        if (
            following is not None
            and following.passage == row.passage
            and following.first_word < row.end_word
        ):
            pieces[-1].tags[-1] = UNKNOWN_TAG
        found.append(pieces)
    return found


def _parts(
    sentence_starts: np.ndarray[tuple[int], np.dtype[np.int64]], begin: int, end: int
) -> list[tuple[int, int, int]]:
    """Sentences that hold words ``begin`` to ``end``, and which of their words these are."""
    first = int(np.searchsorted(sentence_starts, begin, side="right")) - 1
    parts = []
    for index in range(first, len(sentence_starts) - 1):
        start, stop = int(sentence_starts[index]), int(sentence_starts[index + 1])
        if start >= end:
            break
        if max(start, begin) < min(stop, end):
            parts.append((index, max(start, begin) - start, min(stop, end) - start))
    return parts


def _piece(
    sentence: Sentence,
    tags: Sequence[str],
    start: int,
    end: int,
    numbers: dict[str | None, int],
) -> _Piece:
    clipped = clipped_tags(tags, start, end)
    return _Piece(sentence.words[start:end], [numbers[tag] for tag in clipped])


def _starts_in_passages(rows: Sequence[Row]) -> list[int]:
    """Where the states of each row begin among those of its passage."""
    starts, position, passage = [], 0, -1
    for row in rows:
        if row.passage != passage:
            position, passage = 0, row.passage
        starts.append(position)
        position += len(row)
    return starts
