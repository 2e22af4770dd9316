"""Strict F1 of a tagger on perturbed text: casing, typing errors, lost stops, look-alikes, emoji.

    python benchmarks/robustness.py MODEL --data valid.txt
    python benchmarks/robustness.py MODEL --data valid.txt --documents 60

The gold entities stay where they are: a perturbation changes the letters of words, or takes or
adds words outside of entities. Each row is scored on the same documents, with a 95% bootstrap
interval of its F1 and the difference from the first row. The last row has the same text, but each
sentence is read without its document.
"""

import argparse
import random
from collections.abc import Callable
from dataclasses import replace

from llamaner import NerTagger, read_corpus
from llamaner.corpus import Document, Sentence
from llamaner.corpus.casing import recased
from llamaner.evaluation import evaluate

LOOK_ALIKES = str.maketrans("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ")
EMOJI = ("🙂", "😂", "🔥", "👍🏽", "🎉")
SHARE = 0.1
"""Part of the words that typing errors and look-alikes change."""

Words = list[str]


def with_words(sentence: Sentence, words: Words) -> Sentence:
    """The same entities over other words."""
    return Sentence.from_words(words, [s for s in sentence.label_spans if s.end <= len(words)])


def each_sentence(change: Callable[[Words, random.Random], Words]) -> Callable:
    def changed(document: Document, rng: random.Random) -> Document:
        sentences = [
            with_words(s, change(list(s.words), rng)) for s in document.sentences if len(s)
        ]
        made = Document.from_sentences(sentences, document.id)
        return replace(made, coherent=document.coherent)

    return changed


def typing_errors(words: Words, rng: random.Random) -> Words:
    """Two neighbouring letters change places."""
    for i, word in enumerate(words):
        if len(word) > 3 and word.isalpha() and rng.random() < SHARE:
            k = rng.randrange(1, len(word) - 1)
            words[i] = word[:k] + word[k + 1] + word[k] + word[k + 2 :]
    return words


def look_alikes(words: Words, rng: random.Random) -> Words:
    """Cyrillic letters that look like Latin ones."""
    return [w.translate(LOOK_ALIKES) if rng.random() < SHARE else w for w in words]


def no_final_stop(words: Words, rng: random.Random) -> Words:
    return words[:-1] if len(words) > 1 and words[-1] == "." else words


def emoji(words: Words, rng: random.Random) -> Words:
    return [*words, rng.choice(EMOJI)]


PERTURBATIONS: dict[str, Callable[[Document, random.Random], Document]] = {
    "clean": each_sentence(lambda words, rng: words),
    "lower case": lambda document, rng: recased(document, "lower"),
    "capitals": lambda document, rng: recased(document, "upper"),
    "typing errors": each_sentence(typing_errors),
    "no final stop": each_sentence(no_final_stop),
    "look-alikes": each_sentence(look_alikes),
    "emoji at the end": each_sentence(emoji),
    "sentences by themselves": lambda document, rng: replace(document, coherent=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--documents", type=int, help="only so many, drawn with --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=PERTURBATIONS, metavar="TEXT")
    options = parser.parse_args()
    documents = list(read_corpus(options.data).documents)
    if options.documents:
        documents = random.Random(options.seed).sample(documents, options.documents)
    tagger = NerTagger.from_pretrained(options.model)
    print(f"{len(documents)} documents, seed {options.seed}\n")
    print("| text | strict F1 | 95% interval | difference |\n|---|--:|--:|--:|")
    clean = None
    for name, perturb in PERTURBATIONS.items():
        if options.only and name not in options.only:
            continue
        rng = random.Random(options.seed)
        given = [perturb(document, rng) for document in documents]
        tagged = tagger.tag_documents(given)
        found = evaluate(given, [document.sentences for document in tagged])
        f1, (low, high) = found.strict.overall.f1, found.interval
        clean = f1 if clean is None else clean
        print(f"| {name} | {f1:.4f} | {low:.4f} to {high:.4f} | {f1 - clean:+.4f} |", flush=True)


if __name__ == "__main__":
    main()
