"""The backbone: a LLaMA model as a function from words to vectors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from llamaner.backbone.activations import activation_bytes
from llamaner.backbone.alignment import Subwords, WordPooling, align
from llamaner.backbone.blocks import (
    Blocks,
    choose_device,
    choose_layers,
    choose_precision,
    read_config,
    torch_dtype,
)
from llamaner.backbone.budget import TokenBudget, choose_budget, free_bytes
from llamaner.backbone.loading import require_quantization
from llamaner.backbone.source import find_model
from llamaner.backbone.tokenizer import BackboneTokenizer
from llamaner.backbone.unpacking import unpacked_gguf
from llamaner.backbone.windows import Window, windows
from llamaner.configuration import BackboneSettings
from llamaner.errors import ConfigurationError
from llamaner.terminal import status

if TYPE_CHECKING:
    from llamaner.corpus import Sentence

Vectors = npt.NDArray[np.float16]

ALGORITHM = 1
"""Raise it when the same settings begin to give other vectors: stored features are keyed by it."""

DEFAULT_WINDOW = 512
_SENTENCES_AT_ONCE = 8192


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of a batch: a window of a sentence, and the words that read it."""

    sentence: int
    ids: npt.NDArray[np.int64]
    pooling: WordPooling
    """Its ``subwords`` count from the beginning of ``ids``."""


class Backbone:
    """A LLaMA model as a function *words → vectors*.

    Each word gets one vector a layer, normalised to mean 0 and variance 1 over its width
    (layer norm without gain or bias, Ba et al. 2016), in float16. The model itself is loaded when
    the first vector is asked for; what the vectors depend on is known before.
    """

    def __init__(self, settings: BackboneSettings | None = None) -> None:
        self.settings = settings or BackboneSettings()
        source = find_model(self.settings.model, self.settings.revision)
        self.fingerprint = source.fingerprint()
        self._folder: Path = (
            unpacked_gguf(source.path, self.fingerprint) if source.is_gguf else source.path
        )
        config = read_config(self._folder)
        self.width: int = config.hidden_size
        self.depth: int = config.num_hidden_layers
        self.layers = choose_layers(self.settings.layers, self.depth)
        self.device = choose_device(self.settings.device)
        self.precision = choose_precision(self.settings.precision, self.device)
        require_quantization(self.settings.quantization, self.device)
        self.window, self.overlap = _choose_windows(
            self.settings, getattr(config, "max_position_embeddings", None)
        )

    @cached_property
    def tokenizer(self) -> BackboneTokenizer:
        """The subword tokenizer, checked."""
        return BackboneTokenizer.load(self._folder)

    @cached_property
    def blocks(self) -> Blocks:
        """The blocks up to the highest layer used."""
        with status("loading the backbone"):
            return Blocks.load(
                self._folder,
                self.layers,
                torch_dtype(self.precision),
                self.device,
                self.settings.quantization,
            )

    @cached_property
    def budget(self) -> TokenBudget:
        """How many subwords a batch holds, chosen when the blocks are in memory."""
        if self.settings.token_budget != "auto":
            return TokenBudget(self.settings.token_budget)
        each = activation_bytes(self.blocks.model.config, self.layers, self.precision, 1)
        return TokenBudget(choose_budget(free_bytes(self.device), each, self.device))

    @property
    def dependencies(self) -> dict[str, Any]:
        """Everything but the text that changes the vectors, as JSON can hold it."""
        quantization = self.settings.quantization
        return {
            "algorithm": ALGORITHM,
            "fingerprint": self.fingerprint,
            "layers": list(self.layers),
            "width": self.width,
            "pooling": self.settings.pooling,
            "attention": "causal",
            "repeat": self.settings.repeat,
            "window": self.window,
            "overlap": self.overlap,
            "precision": self.precision,
            **({} if quantization == "none" else {"quantization": quantization}),
        }

    @property
    def key(self) -> str:
        """The ``dependencies`` in 32 hexadecimal digits."""
        text = json.dumps(self.dependencies, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def embed(self, sentences: Sequence[Sentence]) -> Iterator[tuple[int, Vectors]]:
        """Each sentence's index and the vectors (T, L, D) of its words.

        Sentences come as they are finished, longest first among each 8,192.
        """
        remaining = iter(range(len(sentences)))
        while part := list(islice(remaining, _SENTENCES_AT_ONCE)):
            for index, vectors in self._embed_part([sentences[i] for i in part]):
                yield part[index], vectors

    def count_subwords(self, text: str) -> int:
        """How many subwords the tokenizer makes of ``text``."""
        return len(self.tokenizer([text])[0])

    def _embed_part(self, sentences: Sequence[Sentence]) -> Iterator[tuple[int, Vectors]]:
        rows = [
            row
            for index, (sentence, subwords) in enumerate(
                zip(sentences, self.tokenizer([s.text for s in sentences]), strict=True)
            )
            for row in self._rows(index, sentence, subwords)
        ]
        assembly = _Assembly([len(s) for s in sentences], [row.sentence for row in rows])
        lengths = [len(row.ids) for row in rows]
        batches = self.budget.batches(lengths, lambda some: self._states([rows[i] for i in some]))
        for indices, states in batches:
            yield from assembly.add([rows[i] for i in indices], states)

    def _rows(self, index: int, sentence: Sentence, subwords: Subwords) -> Iterator[_Row]:
        if not len(sentence):
            return
        if not len(subwords):
            # Nothing of the text is left after the tokenizer's normalisation: read the separator.
            subwords = Subwords(self.tokenizer.separator, np.zeros((1, 2), dtype=np.int64))
        pooling = align(sentence, subwords, self.settings.pooling)
        for window in windows(len(subwords), self.window, self.overlap):
            ids = self._with_repeats(subwords.ids[window.start : window.end])
            read = pooling.within(window.keep_start, window.keep_end)
            yield _Row(index, ids, _moved(read, window, len(ids)))

    def _with_repeats(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The window's subwords after their repeats (Springer et al. 2024, arXiv 2402.15449)."""
        copies = [ids, self.tokenizer.separator] * self.settings.repeat
        return np.concatenate([self.tokenizer.prefix, *copies, ids])

    @torch.inference_mode()
    def _states(self, rows: Sequence[_Row]) -> Tensor:
        """Hidden states (rows, longest, L, D)."""
        ids = torch.zeros(len(rows), max(len(row.ids) for row in rows), dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, : len(row.ids)] = torch.from_numpy(row.ids)
        states: Tensor = self.blocks(ids.to(self.device))
        return states


def _choose_windows(settings: BackboneSettings, positions: int | None) -> tuple[int, int]:
    """Size and overlap of the windows that a model with so many positions can read."""
    # Each copy of a window stands with a separator, and the first with a prefix.
    most = None if positions is None else positions // (settings.repeat + 1) - 2
    window = settings.window or min(DEFAULT_WINDOW, most or DEFAULT_WINDOW)
    overlap = window // 4 if settings.overlap is None else settings.overlap
    if most is not None and window > most:
        raise ConfigurationError(
            f"the backbone reads {positions} subwords at most: with repeat {settings.repeat} a "
            f"window may have {most}, not {window}"
        )
    if overlap >= window:
        raise ConfigurationError(f"overlap ({overlap}) must be smaller than window ({window})")
    return window, overlap


def _moved(pooling: WordPooling, window: Window, row_length: int) -> WordPooling:
    """``pooling`` with its subwords counted in a row that ends with the window's subwords."""
    offset = row_length - (window.end - window.start) - window.start
    return WordPooling(pooling.words, pooling.subwords + offset, pooling.weights)


class _Assembly:
    """Puts the vectors of sentences together from the windows that hold their subwords."""

    def __init__(self, word_counts: Sequence[int], rows: Sequence[int]) -> None:
        self._word_counts = word_counts
        self._rows_missing = np.bincount(rows, minlength=len(word_counts)).tolist()
        self._unfinished: dict[int, Tensor] = {}

    def add(self, rows: Sequence[_Row], states: Tensor) -> Iterator[tuple[int, Vectors]]:
        """Take up ``states`` (rows, S, L, D); give the sentences that are complete with them."""
        sums = self._pool(rows, states)
        finished, tensors = [], []
        for row, part in zip(rows, sums, strict=True):
            if row.sentence in self._unfinished:
                part = part + self._unfinished.pop(row.sentence)
            self._rows_missing[row.sentence] -= 1
            if self._rows_missing[row.sentence]:
                self._unfinished[row.sentence] = part
            else:
                finished.append(row.sentence)
                tensors.append(part)
        if finished:
            vectors = _normalised(torch.cat(tensors))
            ends = np.cumsum([self._word_counts[index] for index in finished])[:-1]
            yield from zip(finished, np.split(vectors, ends), strict=True)

    def _pool(self, rows: Sequence[_Row], states: Tensor) -> Sequence[Tensor]:
        """The weighted sums (T, L, D) of each row's subwords, in float32."""
        counts = [self._word_counts[row.sentence] for row in rows]
        first_word = np.cumsum([0, *counts[:-1]])
        words = np.concatenate([r.pooling.words + w for r, w in zip(rows, first_word, strict=True)])
        subwords = np.concatenate(
            [row.pooling.subwords + i * states.shape[1] for i, row in enumerate(rows)]
        )
        weights = np.concatenate([row.pooling.weights for row in rows])
        read = states.flatten(0, 1)[torch.from_numpy(subwords).to(states.device)].float()
        weighted = read * torch.from_numpy(weights).to(states.device)[:, None, None]
        sums = weighted.new_zeros(sum(counts), *weighted.shape[1:])
        sums.index_add_(0, torch.from_numpy(words).to(states.device), weighted)
        return torch.split(sums, counts)


def _normalised(vectors: Tensor) -> Vectors:
    normalised: Vectors = layer_norm(vectors, vectors.shape[-1:]).half().cpu().numpy()
    return normalised
