"""How fast a tagger is on this machine and text, and what memory it takes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from llamaner.corpus import Document, Sentence
from llamaner.errors import ConfigurationError
from llamaner.tagger.ner_tagger import NerTagger
from llamaner.terminal import progress_bar

_LEAST_ROUNDS = 3
_MOST_SENTENCES = 200
_WARM_UP_SENTENCES = 8


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Seconds, milliseconds and MiB as the names say; warm-up is not in them.

    ``subwords`` are those of the text itself, without context and repetitions. Peaks are of the
    resident set since the process began; ``None`` where the system does not tell.
    """

    device: str
    precision: str
    threads: int
    torch: str
    documents: int
    sentences: int
    words: int
    subwords: int
    loading_seconds: float
    rounds: int
    words_per_second: float
    words_per_second_range: tuple[float, float]
    subwords_per_second: float
    latency_sentences: int
    latency_mean_words: float
    latency_median_ms: float
    latency_p90_ms: float
    latency_p99_ms: float
    peak_mib_before: float | None
    peak_mib_loaded: float | None
    peak_mib: float | None
    cuda_peak_mib: float | None

    def to_dict(self) -> dict[str, Any]:
        """The fields by their names."""
        return asdict(self)


def benchmark(
    folder: Path, documents: Sequence[Document], *, seconds: float = 20.0, **settings: Any
) -> Benchmark:
    """Load the tagger in ``folder`` and tag ``documents`` for some ``seconds``.

    Three rounds are run however long they take; single sentences are timed for at most
    ``seconds`` more. ``settings`` are those of ``NerTagger.from_pretrained``. Raises
    ``ConfigurationError`` for a text without words.
    """
    sentences = [s for document in documents for s in document.sentences if len(s)]
    if not sentences:
        raise ConfigurationError("the text has no words; give one that has, or none for a sample")
    before = peak_mib()
    started = perf_counter()
    tagger = NerTagger.from_pretrained(folder, **settings)
    backbone = tagger.backbone
    _ = backbone.tokenizer, backbone.blocks
    loading, loaded = perf_counter() - started, peak_mib()
    tagger.tag_sentences(sentences[:_WARM_UP_SENTENCES])
    rounds = _rounds(tagger, documents, seconds)
    alone = _latencies(tagger, sentences, seconds)
    words = sum(map(len, sentences))
    subwords = sum(backbone.count_subwords(document.text) for document in documents)
    middle = float(np.median(rounds))
    median, p90, p99 = (float(p) for p in np.percentile([s for _, s in alone], (50, 90, 99)))
    cuda = backbone.device.type == "cuda"
    return Benchmark(
        device=str(backbone.device),
        precision=backbone.precision,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        documents=len(documents),
        sentences=len(sentences),
        words=words,
        subwords=subwords,
        loading_seconds=loading,
        rounds=len(rounds),
        words_per_second=words / middle,
        words_per_second_range=(words / max(rounds), words / min(rounds)),
        subwords_per_second=subwords / middle,
        latency_sentences=len(alone),
        latency_mean_words=float(np.mean([length for length, _ in alone])),
        latency_median_ms=median * 1000,
        latency_p90_ms=p90 * 1000,
        latency_p99_ms=p99 * 1000,
        peak_mib_before=before,
        peak_mib_loaded=loaded,
        peak_mib=peak_mib(),
        cuda_peak_mib=torch.cuda.max_memory_allocated(backbone.device) / 2**20 if cuda else None,
    )


def peak_mib() -> float | None:
    """The greatest resident set of this process so far, in MiB."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _rounds(tagger: NerTagger, documents: Sequence[Document], seconds: float) -> list[float]:
    """Seconds of each round over all documents."""
    taken: list[float] = []
    with progress_bar("rounds", _LEAST_ROUNDS) as bar:
        while len(taken) < _LEAST_ROUNDS or sum(taken) < seconds:
            started = perf_counter()
            for _ in tagger.tag_stream(documents):
                pass
            taken.append(perf_counter() - started)
            bar.advance()
    return taken


def _latencies(
    tagger: NerTagger, sentences: Sequence[Sentence], seconds: float
) -> list[tuple[int, float]]:
    """Words and seconds of single sentences, taken evenly from the whole text."""
    chosen = sentences[:: -(-len(sentences) // _MOST_SENTENCES)]
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
