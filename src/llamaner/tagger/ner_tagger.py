"""``NerTagger``: a backbone and a network that belong together, from text to entities."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from llamaner.backbone import Adapter, Backbone, Vectors
from llamaner.backbone.batches import token_budget_batches
from llamaner.configuration import BackboneSettings, HeadSettings, faults_of
from llamaner.corpus import Document, Entity, LabelSpan, Sentence, decode, segment
from llamaner.errors import TaggerError
from llamaner.locations import from_home
from llamaner.tagger.characters import Alphabet
from llamaner.tagger.network import BiLstmCrf, WordBatch
from llamaner.tagger.saving import TaggerConfig, read_tagger, write_tagger

_WORDS_AT_ONCE = 4096
_WORDS_IN_STREAM = 8192


def tags_of(labels: Sequence[str]) -> tuple[str, ...]:
    """The BIOES tags of some labels."""
    return ("O", *(f"{prefix}-{label}" for label in labels for prefix in "BIES"))


class NerTagger:
    """Finds the entities of text.

    ``tag`` takes whatever a user has; ``tag_documents`` is what it comes down to. The network
    runs on the backbone's device.
    """

    def __init__(
        self,
        config: TaggerConfig,
        *,
        backbone: Backbone | None = None,
        adapter: Adapter | None = None,
    ) -> None:
        self.config = config
        self.adapter = adapter
        self.alphabet = Alphabet(config.alphabet)
        self.network = BiLstmCrf(
            tags_of(config.labels),
            layers=len(config.layers),
            width=config.width,
            alphabet_size=len(self.alphabet),
            settings=config.head,
        )
        self._backbone = backbone

    @classmethod
    def create(
        cls,
        backbone: Backbone,
        labels: Sequence[str],
        words: Sequence[str],
        *,
        head: HeadSettings | None = None,
        language: str = "en",
    ) -> NerTagger:
        """An untrained tagger for ``labels``; it knows the characters of ``words``."""
        config = TaggerConfig(
            labels=tuple(sorted(labels)),
            alphabet=Alphabet.of(words).characters,
            language=language,
            layers=backbone.layers,
            width=backbone.width,
            backbone=_pinned(backbone),
            backbone_fingerprint=backbone.fingerprint,
            head=head or HeadSettings(),
        )
        return cls(config, backbone=backbone)

    @classmethod
    def from_pretrained(cls, folder: str | Path, **backbone_settings: Any) -> NerTagger:
        """A tagger that ``save_pretrained`` wrote.

        ``backbone_settings`` replace what depends on the machine: ``device``, ``precision``,
        ``token_budget``, and ``model`` where the same weights lie elsewhere. Raises
        ``TaggerError`` where files are missing or do not fit each other.
        """
        config, weights, adapter = read_tagger(Path(folder))
        if wrong := backbone_settings.keys() - {"device", "precision", "token_budget", "model"}:
            raise TaggerError(f"{', '.join(sorted(wrong))}: fixed when the tagger was trained")
        try:
            settings = BackboneSettings.model_validate(
                {**config.backbone.model_dump(), **backbone_settings}
            )
        except ValidationError as error:
            raise TaggerError("\n".join(faults_of(error))) from None
        try:
            tagger = cls(config.model_copy(update={"backbone": settings}), adapter=adapter)
            tagger.network.load_state_dict(weights)
        except (RuntimeError, ValueError) as error:
            raise TaggerError(f"{folder}: the weights do not fit config.json ({error})") from None
        tagger.network.eval()
        return tagger

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config.json and model.safetensors; the backbone goes in by name and fingerprint,
        its adapter with the weights.
        """
        write_tagger(Path(folder), self.config, self.network.state_dict(), self.adapter)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that the tagger knows."""
        return self.config.labels

    @property
    def backbone(self) -> Backbone:
        """The backbone, looked up when it is first needed.

        Raises ``TaggerError`` when it is another one than the tagger was trained with.
        """
        if self._backbone is None:
            backbone = Backbone(self.config.backbone, self.adapter)
            if backbone.fingerprint != self.config.backbone_fingerprint:
                raise TaggerError(
                    f"the backbone {self.config.backbone.model!r} is not the one that the tagger "
                    f"was trained with: its fingerprint is {backbone.fingerprint[:12]}, and "
                    f"{self.config.backbone_fingerprint[:12]} is needed; give its folder as model"
                )
            self._backbone = backbone
            self.network.to(backbone.device)
        return self._backbone

    @overload
    def tag(self, text: str) -> list[Entity]: ...  # type: ignore[overload-overlap]
    @overload
    def tag(self, text: Iterable[str] | Iterable[Sequence[str]]) -> list[list[Entity]]: ...

    def tag(
        self, text: str | Iterable[str] | Iterable[Sequence[str]]
    ) -> list[Entity] | list[list[Entity]]:
        """The entities of a text, of each of several texts, or of sentences given as words.

        ``tag("EU rejects it.")`` gives a list of entities, ``tag(["One text.", "Another."])`` a
        list for each text, ``tag([["EU", "rejects", "it", "."]])`` a list for each sentence,
        whose offsets count in its words joined by one space.
        """
        if isinstance(text, str):
            return list(self.tag_documents([self._document(text)])[0].entities)
        given = list(text)
        if all(isinstance(item, str) for item in given):
            documents = self.tag_documents([self._document(str(item)) for item in given])
            return [list(document.entities) for document in documents]
        if any(isinstance(item, str) for item in given):
            raise TypeError("tag takes texts or sentences given as words, not a mixture of them")
        tagged = self.tag_sentences([Sentence.from_words(words) for words in given])
        return [list(sentence.entities) for sentence in tagged]

    def tag_documents(self, documents: Sequence[Document]) -> list[Document]:
        """The documents with the entities found in their sentences."""
        sentences = [sentence for document in documents for sentence in document.sentences]
        found = list(sentences)
        for indices, vectors in self._embedded(documents):
            part = self.tag_features([sentences[i] for i in indices], vectors)
            for index, sentence in zip(indices, part, strict=True):
                found[index] = sentence
        tagged = iter(found)
        return [replace(d, sentences=tuple(next(tagged) for _ in d.sentences)) for d in documents]

    def tag_stream(
        self, documents: Iterable[Document], *, min_confidence: float = 0.0
    ) -> Iterator[Document]:
        """``tag_documents`` for any number of documents: a part of them is in memory at a time.

        Entities whose confidence is below ``min_confidence`` are left out.
        """
        part: list[Document] = []
        words = 0
        for document in documents:
            part.append(document)
            words += sum(len(sentence) for sentence in document.sentences)
            if words >= _WORDS_IN_STREAM:
                yield from self._handed_over(part, min_confidence)
                words = 0
        yield from self._handed_over(part, min_confidence)

    def tag_sentences(self, sentences: Sequence[Sentence]) -> list[Sentence]:
        """The sentences with the entities found in them, each read by itself."""
        documents = [Document.from_sentences([sentence]) for sentence in sentences]
        tagged = self.tag_documents(documents)
        return [
            replace(sentence, entities=document.sentences[0].entities)
            for sentence, document in zip(sentences, tagged, strict=True)
        ]

    def tag_features(
        self, sentences: Sequence[Sentence], features: Sequence[Vectors]
    ) -> list[Sentence]:
        """``tag_sentences`` from vectors that are there already, one (T, L, D) a sentence."""
        tagged = list(sentences)
        lengths = [len(sentence) for sentence in sentences]
        for group in token_budget_batches(lengths, _WORDS_AT_ONCE):
            indices = [index for index in group if lengths[index]]
            if not indices:
                continue
            part = self._decode([sentences[i] for i in indices], [features[i] for i in indices])
            for index, sentence in zip(indices, part, strict=True):
                tagged[index] = sentence
        return tagged

    def batch(self, sentences: Sequence[Sentence], vectors: Sequence[Vectors]) -> WordBatch:
        """Sentences as the network reads them."""
        device = self.network.emit.weight.device
        stacked = torch.from_numpy(np.concatenate(vectors))
        characters = self.alphabet.spell(w for sentence in sentences for w in sentence.words)
        lengths = torch.tensor([len(sentence) for sentence in sentences], dtype=torch.long)
        return WordBatch(stacked, characters, lengths).to(device)

    def _document(self, text: str) -> Document:
        return Document(text, segment(text, self.config.language))

    def _handed_over(self, part: list[Document], min_confidence: float) -> Iterator[Document]:
        """``part`` tagged and emptied: who takes the documents alone decides how long they stay."""
        tagged = deque(self.tag_documents(part))
        part.clear()
        while tagged:
            yield _confident(tagged.popleft(), min_confidence)

    def _embedded(self, documents: Sequence[Document]) -> Iterator[tuple[list[int], list[Vectors]]]:
        """Indices and vectors of all sentences with words, in groups of similar length."""
        indices: list[int] = []
        vectors: list[Vectors] = []
        longest = 0
        for index, part in self.backbone.embed_sentences(documents):
            longest = max(longest, len(part))
            if indices and longest * (len(indices) + 1) > _WORDS_AT_ONCE:
                yield indices, vectors
                indices, vectors, longest = [], [], len(part)
            indices.append(index)
            vectors.append(part)
        if indices:
            yield indices, vectors

    @torch.inference_mode()
    def _decode(self, sentences: Sequence[Sentence], vectors: Sequence[Vectors]) -> list[Sentence]:
        self.network.eval()
        batch = self.batch(sentences, vectors)
        emissions, mask = self.network.emissions(batch), batch.mask()
        found = self._viterbi_spans(emissions, mask)
        places = [
            (i, span.start, span.end - 1, span.label)
            for i, spans in enumerate(found)
            for span in spans
        ]
        confidences = iter(self.network.crf.entity_confidence(emissions, mask, places).tolist())
        return [
            replace(
                sentence, entities=tuple(sentence.entity(span, next(confidences)) for span in spans)
            )
            for sentence, spans in zip(sentences, found, strict=True)
        ]

    def _viterbi_spans(self, emissions: Tensor, mask: Tensor) -> list[list[LabelSpan]]:
        names = self.network.crf.tags
        paths = self.network.crf.viterbi(emissions, mask).tolist()
        return [decode([names[tag] for tag in path if tag >= 0], "BIOES") for path in paths]


def _pinned(backbone: Backbone) -> BackboneSettings:
    """The settings with what was chosen for this model, and with a path that holds anywhere."""
    settings = backbone.settings
    local = from_home(settings.model)
    return settings.model_copy(
        update={
            "model": str(local.resolve()) if local.exists() else settings.model,
            "layers": backbone.layers,
            "window": backbone.reading.window,
            "overlap": backbone.reading.overlap,
            "context": backbone.reading.context,
            "spacing": "text" if settings.spacing == "auto" else settings.spacing,
        }
    )


def _confident(document: Document, minimum: float) -> Document:
    """The document without the entities of less confidence than ``minimum``."""
    if not minimum:
        return document
    sentences = (
        replace(s, entities=tuple(e for e in s.entities if (e.confidence or 0.0) >= minimum))
        for s in document.sentences
    )
    return replace(document, sentences=tuple(sentences))
