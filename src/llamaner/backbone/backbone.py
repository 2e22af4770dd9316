"""The backbone: a LLaMA model as a function from words to vectors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from llamaner.backbone.activations import activation_bytes
from llamaner.backbone.adapter import Adapter
from llamaner.backbone.assembly import Assembly, Vectors
from llamaner.backbone.attention import unmasked_blocks
from llamaner.backbone.blocks import (
    Blocks,
    choose_device,
    choose_layers,
    choose_precision,
    read_config,
    torch_dtype,
)
from llamaner.backbone.budget import TokenBudget, choose_budget, free_bytes
from llamaner.backbone.cpu_int8 import multiply_in_int8
from llamaner.backbone.loading import require_quantization
from llamaner.backbone.passages import Passage, parts, passages
from llamaner.backbone.plan import weight_bytes
from llamaner.backbone.rows import Reading, Row
from llamaner.backbone.source import find_model
from llamaner.backbone.tokenizer import BackboneTokenizer
from llamaner.backbone.unpacking import unpacked_gguf
from llamaner.configuration import BackboneSettings
from llamaner.corpus.spacing import single_spaced
from llamaner.terminal import status

if TYPE_CHECKING:
    from llamaner.corpus import Document

ALGORITHM = 3
"""Raise it when the same settings begin to give other vectors: stored features are keyed by it."""


class Backbone:
    """A LLaMA model as a function *words → vectors*.

    Each word gets one vector a layer, normalised to mean 0 and variance 1 over its width
    (layer norm without gain or bias, Ba et al. 2016), in float16. The model itself is loaded when
    the first vector is asked for; what the vectors depend on is known before. An ``adapter`` is
    added to the weights. One that ``learns`` computes in a precision that has gradients.
    """

    def __init__(
        self,
        settings: BackboneSettings | None = None,
        adapter: Adapter | None = None,
        *,
        learns: bool = False,
    ) -> None:
        self.settings = settings or BackboneSettings()
        self.adapter = adapter
        source = find_model(self.settings.model, self.settings.revision)
        self.licence = source.licence()
        self.fingerprint = source.fingerprint()
        self._folder: Path = (
            unpacked_gguf(source.path, self.fingerprint) if source.is_gguf else source.path
        )
        config = self._config = read_config(self._folder)
        self.width: int = config.hidden_size
        self.depth: int = config.num_hidden_layers
        self.layers = choose_layers(self.settings.layers, self.depth, self.settings.depth)
        self.device = choose_device(self.settings.device)
        self.precision = choose_precision(
            self.settings.precision, self.device, self.settings.quantization, learns=learns
        )
        require_quantization(self.settings.quantization, self.device)
        self._bytes_per_subword = activation_bytes(
            config, self.layers, torch_dtype(self.precision), 1
        )
        self.reading = Reading.chosen(
            self.settings, getattr(config, "max_position_embeddings", None)
        )
        unmasked_blocks(self.settings.attention, self.depth)

    @cached_property
    def tokenizer(self) -> BackboneTokenizer:
        """The subword tokenizer, checked."""
        return BackboneTokenizer.load(self._folder)

    @cached_property
    def blocks(self) -> Blocks:
        """The blocks up to the highest layer used, with the adapter added to them."""
        blocks = self.load_blocks(self.layers)
        if self.adapter is not None:
            self.adapter.add_to(blocks)
        if self.precision == "int8":
            multiply_in_int8(blocks.model)
        return blocks

    @cached_property
    def budget(self) -> TokenBudget:
        """How many subwords a batch holds; ask for it when the blocks are in memory."""
        if self.settings.token_budget != "auto":
            return TokenBudget(self.settings.token_budget)
        free = free_bytes(self.device)
        return TokenBudget(choose_budget(free, self._bytes_per_subword, self.device))

    def memory(self, subwords: int) -> int:
        """Bytes of the weights, and of a batch of so many subwords at most."""
        blocks = max(1, *self.layers)
        weights = weight_bytes(self._config, blocks, self.precision, self.settings.quantization)
        return weights + subwords * self._bytes_per_subword

    def load_blocks(self, layers: tuple[int, ...], *, first: int = 1) -> Blocks:
        """The blocks from ``first`` to the highest of ``layers``, without the adapter."""
        with status("loading the backbone"):
            return Blocks.load(
                self._folder,
                layers,
                torch_dtype(self.precision),
                self.device,
                quantization=self.settings.quantization,
                spread=self.settings.device == "all",
                unmasked=unmasked_blocks(self.settings.attention, self.depth),
                first=first,
            )

    @property
    def dependencies(self) -> dict[str, Any]:
        """Everything but the text that changes the vectors, as JSON can hold it."""
        quantization = self.settings.quantization
        return {
            "algorithm": ALGORITHM,
            "fingerprint": self.fingerprint,
            "adapter": None if self.adapter is None else self.adapter.fingerprint(),
            "layers": list(self.layers),
            "width": self.width,
            "pooling": self.reading.pooling,
            "attention": self.settings.attention,
            "repeat": self.reading.repeat,
            "window": self.reading.window,
            "overlap": self.reading.overlap,
            "precision": self.precision,
            **({"states": str(torch_dtype("int8"))} if self.precision == "int8" else {}),
            **({} if quantization == "none" else {"quantization": quantization}),
        }

    @property
    def key(self) -> str:
        """The ``dependencies`` in 32 hexadecimal digits."""
        return key_of(self.dependencies)

    def passages(self, documents: Sequence[Document]) -> list[Passage]:
        """What is read at once: sentences, or with ``context`` stretches of documents."""
        if self.settings.spacing == "words":
            documents = [single_spaced(document) for document in documents]
        return passages(documents, self.reading.context)

    def counts(self, passages: Sequence[Passage]) -> list[int]:
        """How many words each passage has."""
        return [len(passage) for passage in passages]

    def embed(self, passages: Sequence[Passage]) -> Iterator[tuple[int, Vectors]]:
        """Each passage's index and the vectors (T, L, D) of its words.

        Passages come as they are finished, longest first in each part of some 131,072 words; one
        without words has no vectors and does not come. Equal ones are read once, and come with the
        same array.
        """
        equal: dict[tuple[str, tuple[tuple[int, int], ...]], list[int]] = {}
        for index, passage in enumerate(passages):
            equal.setdefault((passage.text, passage.spans), []).append(index)
        indices = list(equal.values())
        distinct = [passages[mine[0]] for mine in indices]
        for part in parts(distinct):
            for number, vectors in self._embed_part(distinct[part]):
                for index in indices[part.start + number]:
                    yield index, vectors

    def embed_sentences(self, documents: Sequence[Document]) -> Iterator[tuple[int, Vectors]]:
        """The vectors (T, L, D) of each sentence that has words, as ``embed`` finishes them.

        The index counts the sentences of all documents.
        """
        lengths = [len(sentence) for document in documents for sentence in document.sentences]
        ends = np.cumsum(lengths)
        passages = self.passages(documents)
        first_words = np.cumsum([0, *(len(passage) for passage in passages)])
        for number, vectors in self.embed(passages):
            start, end = first_words[number : number + 2]
            index = int(np.searchsorted(ends, start, side="right"))
            while start < end:
                if lengths[index]:
                    yield index, vectors[: lengths[index]]
                    vectors = vectors[lengths[index] :]
                start += lengths[index]
                index += 1

    def count_subwords(self, text: str) -> int:
        """How many subwords the tokenizer makes of ``text``."""
        return len(self.tokenizer([text])[0])

    def rows(self, passages: Sequence[Passage]) -> list[Row]:
        """The rows that the model is given for ``passages``, in order."""
        return self.reading.rows(passages, self.tokenizer)

    def _embed_part(self, passages: Sequence[Passage]) -> Iterator[tuple[int, Vectors]]:
        rows = self.rows(passages)
        assembly = Assembly([len(passage) for passage in passages], rows)
        for batch, states in self.states(self.blocks, rows):
            yield from assembly.add(batch, states)

    def states(self, blocks: Blocks, rows: Sequence[Row]) -> Iterator[tuple[list[Row], Tensor]]:
        """The rows in batches of the token budget, longest first, and their states (B, S, L, D)."""
        lengths = [len(row) for row in rows]

        @torch.inference_mode()
        def states(indices: list[int]) -> Tensor:
            found: Tensor = blocks(*padded([rows[i].ids for i in indices], self.device))
            return found

        for indices, found in self.budget.batches(lengths, states):
            yield [rows[i] for i in indices], found


def padded(ids: Sequence[Any], device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows of different lengths as one tensor (B, S), 0 at padding, and their lengths (B)."""
    lengths = torch.tensor([len(row) for row in ids])
    batch = torch.zeros(len(ids), int(lengths.max()), dtype=torch.long)
    for i, row in enumerate(ids):
        batch[i, : len(row)] = torch.from_numpy(np.asarray(row))
    return batch.to(device), lengths.to(device)


def key_of(dependencies: dict[str, Any]) -> str:
    """32 hexadecimal digits for what stored vectors depend on."""
    text = json.dumps(dependencies, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
