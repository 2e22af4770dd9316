"""Tag texts alone and all together, and tell what differs: entities, and confidences.

    python benchmarks/batching.py my-tagger --data valid.txt --precision float32

Half of the texts are sentences of the sample corpus, half the beginnings of documents of --data.
"""

import argparse
import random
import statistics
import time

from llamaner.corpus import read_corpus, sample_corpus
from llamaner.tagger import NerTagger


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--precision", default="float32")
    return parser.parse_args()


def places(entities: list) -> list[tuple[str, int, int]]:
    return [(entity.label, entity.start, entity.end) for entity in entities]


def main() -> None:
    arguments = parse_arguments()
    tagger = NerTagger.from_pretrained(arguments.model, precision=arguments.precision)
    splits = ("dev", "test", "train")
    sentences = [s.text for split in splits for s in sample_corpus(split).sentences]
    texts = sentences[: arguments.texts // 2]
    documents = read_corpus(arguments.data).documents
    texts += [document.text[:600] for document in documents[: arguments.texts - len(texts)]]
    random.Random(0).shuffle(texts)
    tagger.tag(texts[:2])
    started = time.monotonic()
    alone = [tagger.tag(text) for text in texts]
    half = time.monotonic()
    together = tagger.tag(texts)
    ended = time.monotonic()
    pairs = list(zip(alone, together, strict=True))
    same = [(a, b) for a, b in pairs if places(a) == places(b)]
    differences = [
        abs(x.confidence - y.confidence) for a, b in same for x, y in zip(a, b, strict=True)
    ]
    count = sum(map(len, alone))
    print(f"{arguments.precision}: {len(texts)} texts, {count:,} entities", end=", ")
    print(f"alone {half - started:.0f} s, together {ended - half:.0f} s")
    print(f"texts with other entities: {len(pairs) - len(same)}; confidences differ by", end=" ")
    print(f"{statistics.median(differences):.1e} (median), {max(differences):.1e} (largest)")
    for a, b in pairs:
        for one, other in zip(a, b, strict=False):
            if places([one]) != places([other]):
                print(f"  {one.text!r} {one.label} {one.confidence:.3f}, together", end=" ")
                print(f"{other.text!r} {other.label} {other.confidence:.3f}")


if __name__ == "__main__":
    main()
