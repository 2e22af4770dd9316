"""How fast a tagger is on this machine and text, and what memory it takes."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import psutil
import torch

from llamaner.corpus import Document, Sentence
from llamaner.errors import ConfigurationError
from llamaner.tagger.ner_tagger import NerTagger
from llamaner.terminal import progress_bar

_LEAST_ROUNDS = 3
_MOST_SENTENCES = 200


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Seconds, milliseconds and MiB as the names say; loading and warm-up are in no speed.

    A round tags ``documents``, ``sentences`` and ``words`` of the ``text_words`` that were given.
    ``subwords`` are theirs, without context, repetitions and special tokens. ``backbone_share`` is
    the backbone's part of the time, tokenization included. Memory is the resident set of the
    process, and its peak since the process began; ``None`` where the system does not tell.
    """

    device: str
    precision: str
    token_budget: int
    threads: int
    torch: str
    text_words: int
    documents: int
    sentences: int
    words: int
    subwords: int
    loading_seconds: float
    rounds: int
    words_per_second: float
    words_per_second_range: tuple[float, float]
    subwords_per_second: float
    backbone_share: float
    latency_sentences: int
    latency_mean_words: float
    latency_median_ms: float
    latency_p90_ms: float
    latency_p99_ms: float
    memory_before_mib: float
    memory_loaded_mib: float
    memory_peak_mib: float | None
    cuda_peak_mib: float | None

    def to_dict(self) -> dict[str, Any]:
        """The fields by their names."""
        return asdict(self)


def benchmark(
    folder: Path, documents: Sequence[Document], *, seconds: float = 20.0, **settings: Any
) -> Benchmark:
    """Load the tagger in ``folder`` and tag ``documents`` for some ``seconds``.

    One half of them goes to rounds over as much of the text as allows three, the other to single
    sentences. A round has a full batch at least, or the whole text, however long it takes.
    ``settings`` are those of ``NerTagger.from_pretrained``. Raises ``ConfigurationError`` for a
    text without words, or no time.
    """
    if not seconds > 0:
        raise ConfigurationError(f"--seconds must be more than 0, not {seconds}")
    text_words = _count_words(documents)
    if not text_words:
        raise ConfigurationError("the text has no words; give one that has, or none for a sample")
    before, started = _resident_mib(), perf_counter()
    tagger = NerTagger.from_pretrained(folder, **settings)
    backbone = tagger.backbone
    _ = backbone.tokenizer, backbone.blocks
    loading, loaded = perf_counter() - started, _resident_mib()

    warm_up = list(_beginning(documents, _batch_words(tagger)))
    _round(tagger, warm_up)
    reading, rest = _parts(tagger, warm_up)
    affordable = seconds / 2 / _LEAST_ROUNDS / (reading + rest)
    used = list(_beginning(documents, int(_count_words(warm_up) * max(1.0, affordable))))
    rounds = _rounds(tagger, used, seconds / 2)
    sentences = [s for document in used for s in document.sentences if len(s)]
    alone = _latencies(tagger, sentences, seconds / 2)

    words, middle = _count_words(used), float(np.median(rounds))
    subwords = sum(map(len, backbone.tokenizer([sentence.text for sentence in sentences])))
    median, p90, p99 = (float(p) for p in np.percentile([s for _, s in alone], (50, 90, 99)))
    cuda = backbone.device.type == "cuda"
    return Benchmark(
        device=str(backbone.device),
        precision=backbone.precision,
        token_budget=backbone.budget.subwords,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        text_words=text_words,
        documents=len(used),
        sentences=len(sentences),
        words=words,
        subwords=subwords,
        loading_seconds=loading,
        rounds=len(rounds),
        words_per_second=words / middle,
        words_per_second_range=(words / max(rounds), words / min(rounds)),
        subwords_per_second=subwords / middle,
        backbone_share=reading / (reading + rest),
        latency_sentences=len(alone),
        latency_mean_words=float(np.mean([length for length, _ in alone])),
        latency_median_ms=median * 1000,
        latency_p90_ms=p90 * 1000,
        latency_p99_ms=p99 * 1000,
        memory_before_mib=before,
        memory_loaded_mib=loaded,
        memory_peak_mib=_peak_mib(),
        cuda_peak_mib=torch.cuda.max_memory_allocated(backbone.device) / 2**20 if cuda else None,
    )


def _count_words(documents: Sequence[Document]) -> int:
    return sum(len(sentence) for document in documents for sentence in document.sentences)


def _batch_words(tagger: NerTagger) -> int:
    """So many words give the backbone a full batch: each has a subword in each copy."""
    return -(-tagger.backbone.budget.subwords // (tagger.backbone.reading.repeat + 1))


def _beginning(documents: Sequence[Document], words: int) -> Iterator[Document]:
    """The first sentences with so many words together, in their documents."""
    for document in documents:
        kept = 0
        for sentence in document.sentences:
            if words <= 0:
                break
            words -= len(sentence)
            kept += 1
        if kept:
            yield replace(document, sentences=document.sentences[:kept])


def _round(tagger: NerTagger, documents: Sequence[Document]) -> float:
    """The seconds that ``documents`` take."""
    started = perf_counter()
    for _ in tagger.tag_stream(documents):
        pass
    return perf_counter() - started


def _rounds(tagger: NerTagger, documents: Sequence[Document], seconds: float) -> list[float]:
    """The seconds of each round: three, or more as long as there is time for another."""
    taken = [_round(tagger, documents)]
    planned = max(_LEAST_ROUNDS, int(seconds / taken[0]))
    with progress_bar("rounds", planned) as bar:
        bar.advance()
        while len(taken) < planned:
            taken.append(_round(tagger, documents))
            bar.advance()
            if len(taken) >= _LEAST_ROUNDS and sum(taken) >= seconds:
                break
    return taken


def _parts(tagger: NerTagger, documents: Sequence[Document]) -> tuple[float, float]:
    """The seconds of the backbone, and of the network and CRF after it.

    Both hand over arrays in main memory, so a GPU has then finished.
    """
    sentences = [sentence for document in documents for sentence in document.sentences]
    started = perf_counter()
    found = list(tagger.backbone.embed_sentences(documents))
    read = perf_counter()
    tagger.tag_features([sentences[i] for i, _ in found], [vectors for _, vectors in found])
    return read - started, perf_counter() - read


def _latencies(
    tagger: NerTagger, sentences: Sequence[Sentence], seconds: float
) -> list[tuple[int, float]]:
    """Words and seconds of single sentences drawn from the whole text, the same in each run."""
    chosen = random.Random(0).sample(sentences, min(len(sentences), _MOST_SENTENCES))
    taken: list[tuple[int, float]] = []
    with progress_bar("single sentences", len(chosen)) as bar:
        for sentence in chosen:
            started = perf_counter()
            tagger.tag_sentences([sentence])
            taken.append((len(sentence), perf_counter() - started))
            bar.advance()
            if sum(time for _, time in taken) >= seconds:
                break
    return taken


def _resident_mib() -> float:
    return float(psutil.Process().memory_info().rss / 2**20)


def _peak_mib() -> float | None:
    """The greatest resident set of this process so far."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
