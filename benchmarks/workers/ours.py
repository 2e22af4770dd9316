"""LlamaNER: tagging, training and streams, with the settings of a preset."""

import time
from collections.abc import Iterator

import torch
from worker import Contender, read_documents, serve

from llamaner import (
    Backbone,
    BackboneSettings,
    Document,
    FeatureStore,
    HeadSettings,
    NerTagger,
    Sentence,
    TrainingConfiguration,
    read_corpus,
    train,
)
from llamaner.backbone.kernel_caches import bound_kernel_caches
from llamaner.presets import PRESETS


def settings_of(preset: str) -> tuple[dict, dict]:
    """A preset's settings of the backbone and of the head."""
    return PRESETS[preset].get("backbone", {}), PRESETS[preset].get("head", {})


def documents_in(path: str) -> Iterator[Document]:
    for document in read_documents(path):
        yield Document.from_sentences([Sentence.from_words(words) for words, _ in document])


def untrained(backbone: Backbone, head: HeadSettings, labels: list[str], data: str) -> NerTagger:
    """A tagger with random weights; "O" is favoured, so that it finds few entities."""
    words = [word for document in read_documents(data) for words, _ in document for word in words]
    torch.manual_seed(0)
    tagger = NerTagger.create(backbone, labels, words, head=head)
    with torch.no_grad():
        tagger.network.emit.bias[tagger.network.crf.tags.index("O")] += 10
    return tagger


class Ours(Contender):
    def prepare(
        self,
        *,
        preset: str,
        data: str,
        labels: list[str],
        sentence: str = "",
        model: str | None = None,
        precision: str = "auto",
        backbone: str = "default",
        learns: bool = False,
    ) -> dict:
        bound_kernel_caches(learns=learns)
        self.sentence = sentence
        self.data = list(read_documents(data))
        settings, head = settings_of(preset)
        if model:
            self.tagger = NerTagger.from_pretrained(model, precision=precision)
        else:
            given = BackboneSettings(model=backbone, precision=precision, **settings)
            self.tagger = untrained(Backbone(given), HeadSettings(**head), labels, data)
        reads = self.tagger.backbone
        rows = reads.rows(reads.passages(self.documents()))
        return {
            "rows": [len(row) for row in rows],
            "precision": reads.precision,
            "states": str(reads.blocks.dtype).removeprefix("torch."),
            "blocks": max(reads.layers),
            "batch": reads.budget.subwords,
            "head": self.tagger.config.head.model_dump(),
        }

    def documents(self) -> list[Document]:
        return [
            Document.from_sentences([Sentence.from_words(words) for words, _ in document])
            for document in self.data
        ]

    def tag(self) -> None:
        self.tagger.tag_documents(self.documents())

    def one(self) -> None:
        self.tagger.tag(self.sentence)

    def stream(self, path: str) -> dict:
        """Tag the documents of a file as they are read."""
        started, words = time.perf_counter(), 0
        for document in self.tagger.tag_stream(documents_in(path)):
            words += sum(len(sentence) for sentence in document.sentences)
        return {"words": words, "seconds": time.perf_counter() - started}

    def train(self, *, preset: str, backbone: str, epochs: int, folder: str, **data: str) -> dict:
        """A whole run with an empty feature store."""
        settings, head = settings_of(preset)
        started = time.perf_counter()
        result = train(
            TrainingConfiguration(
                **data,
                output=f"{folder}/tagger",
                store=f"{folder}/store",
                epochs=epochs,
                patience=epochs,
                report=False,
                backbone=BackboneSettings(model=backbone, **settings),
                head=HeadSettings(**head),
            ),
            overwrite=True,
        )
        return {"history": result.history, "seconds": time.perf_counter() - started}

    def features(self, *, preset: str, backbone: str, store: str, train: str, dev: str) -> dict:
        """Fill the store with what `epochs` learns from."""
        started = time.perf_counter()
        documents = [*read_corpus(train).documents, *read_corpus(dev).documents]
        reads = Backbone(BackboneSettings(model=backbone, **settings_of(preset)[0]))
        FeatureStore(store).document_features(reads, documents)
        return {"seconds": time.perf_counter() - started}

    def epochs(self, *, preset: str, backbone: str, width: int, folder: str, **data: str) -> dict:
        """Seconds of the second epoch of a run whose features are in the store.

        Each sentence once, as Flair has it.
        """
        settings, head = settings_of(preset)
        result = train(
            TrainingConfiguration(
                **data,
                output=f"{folder}/tagger",
                epochs=2,
                alone=0.0,
                report=False,
                backbone=BackboneSettings(model=backbone, **settings),
                head=HeadSettings(**{**head, "lstm_width": width}),
            ),
            overwrite=True,
        )
        first, second = (row["train_seconds"] for row in result.history)
        return {"first": first, "seconds": second}


if __name__ == "__main__":
    serve(Ours())
