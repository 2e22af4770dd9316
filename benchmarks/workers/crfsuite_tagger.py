"""CRFsuite with the features and settings of its CoNLL tutorial, without the parts of speech."""

import tempfile
import time
from pathlib import Path

import pycrfsuite
from worker import Contender, Words, read_sentences, serve


def shape(prefix: str, word: str) -> list[str]:
    return [
        f"{prefix}word.lower={word.lower()}",
        f"{prefix}word.istitle={word.istitle()}",
        f"{prefix}word.isupper={word.isupper()}",
    ]


def features(words: Words) -> list[list[str]]:
    """The tutorial's features of each word."""
    rows = []
    for i, word in enumerate(words):
        row = ["bias", *shape("", word), f"word.isdigit={word.isdigit()}"]
        row += [f"word[-3:]={word[-3:]}", f"word[-2:]={word[-2:]}"]
        row += shape("-1:", words[i - 1]) if i else ["BOS"]
        row += shape("+1:", words[i + 1]) if i + 1 < len(words) else ["EOS"]
        rows.append(row)
    return rows


class CrfSuite(Contender):
    def prepare(self, *, data: str, train: str, dev: str) -> dict:
        """Learn, and tag the dev sentences."""
        self.data = [words for words, _ in read_sentences(data)]
        started = time.perf_counter()
        trainer = pycrfsuite.Trainer(verbose=False)
        for words, tags in read_sentences(train):
            trainer.append(features(words), tags)
        trainer.set_params(
            {"c1": 1.0, "c2": 1e-3, "max_iterations": 50, "feature.possible_transitions": True}
        )
        with tempfile.TemporaryDirectory() as folder:
            model = str(Path(folder, "model"))
            trainer.train(model)
            seconds = time.perf_counter() - started
            self.tagger = pycrfsuite.Tagger()
            self.tagger.open(model)
        found = [self.tagger.tag(features(words)) for words, _ in read_sentences(dev)]
        return {"train_seconds": seconds, "dev_tags": found}

    def tag(self) -> None:
        for words in self.data:
            self.tagger.tag(features(words))


if __name__ == "__main__":
    serve(CrfSuite())
