"""What tagging costs besides the backbone's arithmetic, by part, and whether its memory stays flat.

    python benchmarks/tagging.py models/conll2003-en --data valid.txt
    python benchmarks/tagging.py models/conll2003-en --data valid.txt --stream 1000000

The backbone's blocks are replaced by random states that are there already; with --stream the
network's tag scores too. Times are of the processor, in milliseconds a 10,000 words.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psutil
import torch
from torch import Tensor

from llamaner.backbone import Backbone
from llamaner.backbone.assembly import Assembly
from llamaner.corpus import Document, read_corpus, segment
from llamaner.tagger import BiLstmCrf, LinearChainCRF, NerTagger, WordBatch

PARTS: dict[str, tuple[Any, str]] = {
    "passages": (Backbone, "passages"),
    "subwords and rows": (Backbone, "rows"),
    "assembly": (Assembly, "add"),
    "network's input": (NerTagger, "batch"),
    "network": (BiLstmCrf, "emissions"),
    "Viterbi paths": (LinearChainCRF, "viterbi"),
    "confidences": (LinearChainCRF, "entity_confidence"),
}


class Stub:
    """Random states of the right shape, without computing any."""

    def __init__(self, backbone: Backbone) -> None:
        generator = torch.Generator().manual_seed(0)
        size = (2 * backbone.budget.subwords, len(backbone.layers), backbone.width)
        self.states = torch.randn(size, generator=generator)

    def __call__(self, ids: Tensor, lengths: Tensor) -> Tensor:
        rows, subwords = ids.shape
        return self.states[: rows * subwords].unflatten(0, (rows, subwords))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stream", type=int, help="words to stream; resident memory is printed")
    return parser.parse_args()


def timed(function: Callable, name: str, taken: Counter) -> Callable:
    def run(*values: Any, **named: Any) -> Any:
        started = time.process_time()
        found = function(*values, **named)
        if isinstance(found, Iterator):
            found = list(found)
        taken[name] += time.process_time() - started
        return found

    return run


def count(documents: list[Document]) -> int:
    return sum(len(sentence) for document in documents for sentence in document.sentences)


def print_parts(tagger: NerTagger, documents: list[Document], rounds: int) -> None:
    taken: Counter = Counter()
    for name, (owner, attribute) in PARTS.items():
        setattr(owner, attribute, timed(getattr(owner, attribute), name, taken))
    tagger.tag_documents(documents[:3])
    taken.clear()
    started = time.process_time()
    for _ in range(rounds):
        tagged = tagger.tag_documents(documents)
    whole = time.process_time() - started
    found, words = sum(len(d.entities) for d in tagged), count(documents)
    print(f"{words:,} words, {found:,} entities, {rounds} rounds")
    taken["spans, entities, other"] = whole - sum(taken.values())
    segment(documents[0].text)
    started = time.process_time()
    for document in documents:
        segment(document.text)
    taken["(segmentation, before)"] = (time.process_time() - started) * rounds
    for name, seconds in taken.items():
        print(f"{name:24} {seconds / rounds / words * 1e7:8.1f} ms")


def print_memory(tagger: NerTagger, documents: list[Document], words: int) -> None:
    done, shown = 0, 0
    tags, generator = len(tagger.network.crf.tags), torch.Generator().manual_seed(0)

    def scores(batch: WordBatch) -> Tensor:
        return torch.randn(*batch.mask().shape, tags, generator=generator)

    def repeated() -> Iterator[Document]:
        given = 0
        while given < words:
            for document in documents:
                given += count([document])
                yield replace(document)

    tagger.network.emissions = scores
    for document in tagger.tag_stream(repeated()):
        done += count([document])
        if done >= shown:
            resident = psutil.Process().memory_info().rss / 2**20
            print(f"{done:9,} words {resident:6.0f} MiB", flush=True)
            shown += words // 10


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    tagger = NerTagger.from_pretrained(arguments.model, device="cpu", token_budget=2048)
    tagger.backbone.__dict__["blocks"] = Stub(tagger.backbone)
    documents = list(read_corpus(arguments.data).documents)
    if arguments.stream:
        print_memory(tagger, documents, arguments.stream)
    else:
        print_parts(tagger, documents, arguments.rounds)


if __name__ == "__main__":
    main()
