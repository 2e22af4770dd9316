"""Flair's SequenceTagger on frozen embeddings of the same backbone: tagging, and epochs.

The last layer is the cheapest that Flair's embeddings offer: all blocks run in any case.
"""

import time
from pathlib import Path

import flair
import torch
from flair.data import Corpus, Dictionary, Sentence
from flair.embeddings import TransformerWordEmbeddings
from flair.models import SequenceTagger
from flair.trainers import ModelTrainer
from flair.trainers.plugins import TrainerPlugin
from worker import Contender, read_sentences, serve

flair.device = torch.device("cpu")


def sentences_in(path: str) -> list[Sentence]:
    """Annotated sentences."""
    found = []
    for words, tags in read_sentences(path):
        sentence = Sentence(words)
        starts = [i for i, tag in enumerate(tags) if tag.startswith("B-")]
        for start in starts:
            end = start + 1
            while end < len(tags) and tags[end].startswith("I-"):
                end += 1
            sentence[start:end].add_label("ner", tags[start][2:])
        found.append(sentence)
    return found


class EpochTimes(TrainerPlugin):
    """Seconds of each epoch's training, without the evaluation after it."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    @TrainerPlugin.hook
    def before_training_epoch(self, **_: object) -> None:
        self.started = time.perf_counter()

    @TrainerPlugin.hook
    def after_training_epoch(self, **_: object) -> None:
        self.seconds.append(time.perf_counter() - self.started)


class Flair(Contender):
    def prepare(self, *, backbone: str, labels: list[str], data: str, width: int = 256) -> dict:
        self.data = [words for words, _ in read_sentences(data)]
        torch.manual_seed(0)
        embeddings = TransformerWordEmbeddings(
            backbone, layers="-1", subtoken_pooling="last", fine_tune=False
        )
        dictionary = Dictionary(add_unk=False)
        dictionary.span_labels = True
        for label in labels:
            dictionary.add_item(label)
        self.tagger = SequenceTagger(
            embeddings, tag_dictionary=dictionary, tag_type="ner", hidden_size=width
        )
        with torch.no_grad():  # Few entities, as with the other random weights.
            self.tagger.linear.bias[self.tagger.label_dictionary.get_idx_for_item("O")] += 10
        return {"flair": flair.__version__}

    def tag(self) -> None:
        self.tagger.predict([Sentence(words) for words in self.data], mini_batch_size=32)

    def epochs(self, *, train: str, folder: str) -> dict:
        """Seconds of the first epoch, and of the second, whose embeddings are kept."""
        sentences, times = sentences_in(train), EpochTimes()
        corpus = Corpus(
            sentences, dev=sentences_in(train)[:1], test=[], sample_missing_splits=False
        )
        ModelTrainer(self.tagger, corpus).train(
            Path(folder),
            max_epochs=2,
            mini_batch_size=32,
            embeddings_storage_mode="cpu",
            save_final_model=False,
            train_with_dev=False,
            plugins=[times],
        )
        return {"first": times.seconds[0], "seconds": times.seconds[1]}


if __name__ == "__main__":
    serve(Flair())
