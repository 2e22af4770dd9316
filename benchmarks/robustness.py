"""Strict F1 of a tagger on perturbed text: casing, typing errors, spacing, look-alikes, emoji.

    python benchmarks/robustness.py MODEL --data valid.txt
    python benchmarks/robustness.py MODEL --data valid.txt --documents 60

The gold entities stay where they are: a perturbation changes the letters of words, or takes or
adds words outside of entities. Each row is scored on the same documents, with a 95% bootstrap
interval of its F1 and the difference from the first row. "Sentences by themselves" are read
without their document. "Running text" is spaced as people write, and the tagger finds its words
and sentences itself; what it finds is scored on the corpus's words that it touches.
"""

import argparse
import random
from collections.abc import Callable
from dataclasses import replace

from llamaner import NerTagger, read_corpus
from llamaner.corpus import Document, LabelSpan, Sentence, segment
from llamaner.corpus.casing import recased
from llamaner.evaluation import evaluate

LOOK_ALIKES = str.maketrans("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ")
EMOJI = ("🙂", "😂", "🔥", "👍🏽", "🎉")
SHARE = 0.1
"""Part of the words that typing errors and look-alikes change, and of the spaces."""
CLOSING = {".", ",", ";", ":", "!", "?", "%", ")", "]", "'", "'s", "'S", "n't", "'re", "'ve", "'ll"}
OPENING = {"(", "[", "$", "£"}
ODD_SPACES = ("  ", "\t", "\u00a0", "\u2009", "\n")

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


def respaced(document: Document, between: Callable[[Words, int], str]) -> Document:
    """The same words, with ``between(words, i)`` before the one at ``i``."""
    sentences = []
    for sentence in document.sentences:
        words, text, spans = list(sentence.words), "", []
        for i, word in enumerate(words):
            text += between(words, i) if i else ""
            spans.append((len(text), len(text) + len(word)))
            text += word
        sentences.append(Sentence(text, tuple(spans)).with_entities(sentence.label_spans))
    return Document.from_sentences(sentences, document.id)


def space_as_written(words: Words, i: int) -> str:
    """None before a stop or after a bracket, where corpora in columns have one."""
    quoted = words[:i].count('"') % 2 == 1
    closing = words[i] in CLOSING or (words[i] == '"' and quoted)
    opening = words[i - 1] in OPENING or (words[i - 1] == '"' and quoted)
    return "" if closing or opening else " "


def as_written(document: Document, rng: random.Random) -> Document:
    return respaced(document, space_as_written)


def oddly_spaced(document: Document, rng: random.Random) -> Document:
    def space(words: Words, i: int) -> str:
        usual = space_as_written(words, i)
        return rng.choice(ODD_SPACES) if usual and rng.random() < SHARE else usual

    return respaced(document, space)


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
    "running text": as_written,
    "running text, odd spaces": oddly_spaced,
}
RUNNING = {"running text", "running text, odd spaces"}


def found_in_text(tagger: NerTagger, document: Document) -> list[Sentence]:
    """The document's sentences with what is found in its text alone, on the words it touches."""
    text = Document(document.text, segment(document.text, tagger.config.language))
    found = iter(tagger.tag_documents([text])[0].entities)
    entity, sentences = next(found, None), []
    for sentence in document.sentences:
        spans: list[LabelSpan] = []
        while entity and entity.start < sentence.start + len(sentence.text):
            touched = [
                i
                for i, (start, end) in enumerate(sentence.spans)
                if sentence.start + start < entity.end and entity.start < sentence.start + end
            ]
            if touched and (not spans or spans[-1].end <= touched[0]):
                spans.append(LabelSpan(entity.label, touched[0], touched[-1] + 1))
            entity = next(found, None)
        sentences.append(sentence.with_entities(spans))
    return sentences


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
        if name in RUNNING:
            tagged = [found_in_text(tagger, document) for document in given]
        else:
            tagged = [document.sentences for document in tagger.tag_documents(given)]
        found = evaluate(given, tagged)
        f1, (low, high) = found.strict.overall.f1, found.interval
        clean = f1 if clean is None else clean
        print(f"| {name} | {f1:.4f} | {low:.4f} to {high:.4f} | {f1 - clean:+.4f} |", flush=True)


if __name__ == "__main__":
    main()
