"""spaCy's CNN pipeline of en_core_web_sm's size (width 96, depth 4), with random weights."""

import spacy
from spacy.tokens import Doc
from spacy.training import Example
from worker import Contender, read_sentences, serve


class Spacy(Contender):
    def prepare(self, *, data: str, labels: list[str], sentence: str = "") -> dict:
        self.data = [words for words, _ in read_sentences(data)]
        self.sentence = sentence
        spacy.util.fix_random_seed(0)
        self.nlp = spacy.blank("en")
        ner = self.nlp.add_pipe("ner")
        for label in labels:
            ner.add_label(label)
        examples = [Example.from_dict(self.nlp.make_doc("a"), {"entities": []})]
        self.nlp.initialize(lambda: examples)
        encoder = ner.cfg, self.nlp.config["components"]["ner"]["model"]["tok2vec"]
        return {
            "spacy": spacy.__version__,
            "width": encoder[1]["width"],
            "depth": encoder[1]["depth"],
        }

    def tag(self) -> None:
        docs = (Doc(self.nlp.vocab, words=words) for words in self.data)
        for _ in self.nlp.pipe(docs):
            pass

    def one(self) -> None:
        self.nlp(self.sentence)


if __name__ == "__main__":
    serve(Spacy())
