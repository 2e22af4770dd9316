"""A BiLSTM that learns on a CPU: ours beside PyTorch's, and the products that both need.

    python benchmarks/recurrence.py

Batches of 32 sentences as long as those of the sample corpus, in the type of the arithmetic that
training takes here and in float32. All take turns; ratios are medians of the rounds'. The floor is
the time of the products of matrices alone.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from llamaner.backbone.blocks import choose_precision, torch_dtype
from llamaner.corpus import read_corpus, sample_path
from llamaner.tagger.recurrence import BiLstm

WIDTH, HIDDEN, BATCH = 640, 384, 32


def batches(count: int) -> list[PackedSequence]:
    documents = read_corpus(sample_path("train")).documents
    lengths = sorted(len(sentence) for document in documents for sentence in document.sentences)
    parts = [lengths[start : start + BATCH] for start in range(0, len(lengths), BATCH)]
    chosen = parts[:: max(1, len(parts) // count)]
    return [pack_sequence([torch.randn(n, WIDTH) for n in part[::-1]]) for part in chosen]


def learn(
    lstm: BiLstm,
    states: Callable[[PackedSequence], PackedSequence],
    precision: torch.dtype,
    words: list[PackedSequence],
) -> None:
    for batch in words:
        lstm.zero_grad()
        with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
            found = states(batch).data
        found.float().sum().backward()


def products(rows: list[torch.Tensor], weights: torch.Tensor) -> None:
    """Those of the inputs and of the states, forth, and twice as many back."""
    for row in rows:
        gates = row @ weights
        gates @ weights.T
        row.T @ gates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.manual_seed(0)
    lstm, words = BiLstm(WIDTH, HIDDEN), batches(6)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__.partition('+')[0]}\n")
    print("| precision | PyTorch ms | ours ms | ratio | floor / ours |")
    print("|---|--:|--:|--:|--:|")
    native = torch_dtype(choose_precision("auto", torch.device("cpu")))
    for precision in dict.fromkeys((native, torch.float32)):
        rows = [torch.randn(len(batch.data), WIDTH + HIDDEN).to(precision) for batch in words]
        weights = torch.randn(WIDTH + HIDDEN, 8 * HIDDEN).to(precision)
        contenders = (
            lambda p=precision: learn(lstm, lambda given: lstm.forward(given)[0], p, words),
            lambda p=precision: learn(lstm, lstm.states, p, words),
            lambda r=rows, w=weights: products(r, w),
        )
        taken: list[list[float]] = [[] for _ in contenders]
        for number in range(options.rounds + 1):
            for seconds, contender in zip(taken, contenders, strict=True):
                started = time.perf_counter()
                contender()
                if number:
                    seconds.append(time.perf_counter() - started)
        theirs, ours, floor = taken
        middle = [1000 * statistics.median(part) / len(words) for part in (theirs, ours)]
        ratio = statistics.median(a / b for a, b in zip(theirs, ours, strict=True))
        share = statistics.median(a / b for a, b in zip(floor, ours, strict=True))
        print(
            f"| {str(precision).removeprefix('torch.')} | {middle[0]:.1f} | {middle[1]:.1f} "
            f"| {ratio:.2f} | {share:.2f} |"
        )


if __name__ == "__main__":
    main()
