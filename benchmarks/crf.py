"""Speed of `LinearChainCRF` beside pytorch-crf, on the same tensors in one run.

    python benchmarks/crf.py            # one CPU thread, about a minute and a half
    python benchmarks/crf.py --device cuda

Repeats of all the contestants are interleaved, in an order that is drawn anew each time: a busy
machine slows them alike, and none always comes after the one that leaves the caches coldest. On the
CPU the time is that of the thread, without its waits for other processes. Ratios are medians of the
paired ratios, with a 95% bootstrap interval.

The headline compares unconstrained CRFs with the same scores; "BIOES" is ours as the tagger uses
it. The floor is the arithmetic that the recursion cannot do without, in a bare loop
over preallocated arrays, in the fastest form known here: for the loss a batched matrix product a
word (NumPy's on the CPU), for decoding a sum and a maximum over all the transitions every other
word (PyTorch's; sentences are decoded from both ends at once). All is float64.

NumPy's matrix products are too small here for its threads (32 x 73 x 73 is below OpenBLAS's
2^18), so that one thread is one thread.
"""

import argparse
import gc
import os
import time
from collections.abc import Callable

import numpy as np
import torch
import torchcrf
from torch import Tensor

from llamaner.tagger.crf import LinearChainCRF

SENTENCES = 32
WORDS = (25, 60, 200)
TAGS = (17, 73)
Run = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--seconds", type=float, default=10.0, help="for each size")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    machine = torch.cuda.get_device_name() if options.device == "cuda" else "CPU, one thread"
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{machine}; torch {torch.__version__}; {SENTENCES} sentences a batch; {load}\n")
    print(
        "| task | words | tags | pytorch-crf ms | ours ms | ratio (95%) | BIOES ms | ratio | "
        "floor ms | ours / floor |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    for tags in TAGS:
        for words in WORDS:
            device = torch.device(options.device)
            for task, runs in contestants(words, tags, device).items():
                seconds = interleave(list(runs), device, options.seconds / 2)
                print(row(task, words, tags, seconds), flush=True)


def contestants(words: int, tags: int, device: torch.device) -> dict[str, tuple[Run, ...]]:
    """Per task: pytorch-crf, ours without and with constraints, and the floor."""
    labels = [f"L{i}" for i in range((tags - 1) // 4)]
    names = ["O", *(f"{prefix}-{label}" for label in labels for prefix in "BIES")]
    theirs = torchcrf.CRF(tags, batch_first=True).to(device)
    ours = LinearChainCRF(names, constraints=None).to(device)
    bioes = LinearChainCRF(names).to(device)
    with torch.no_grad():
        for crf in (ours, bioes):
            crf.start.copy_(theirs.start_transitions)
            crf.transitions.copy_(theirs.transitions)
            crf.end.copy_(theirs.end_transitions)
    emissions = torch.randn(SENTENCES, words, tags, device=device, requires_grad=True)
    mask = torch.ones(SENTENCES, words, dtype=torch.bool, device=device)
    gold = bioes.sample(emissions, mask, 1)[:, 0]

    def train(crf: LinearChainCRF) -> Run:
        return lambda: crf.log_likelihood(emissions, gold, mask).sum().backward()

    return {
        "loss + backward": (
            lambda: theirs(emissions, gold, mask).backward(),
            train(ours),
            train(bioes),
            matrix_products(words, tags, device),
        ),
        "decoding": (
            lambda: theirs.decode(emissions, mask),
            lambda: ours.viterbi(emissions, mask).tolist(),
            lambda: bioes.viterbi(emissions, mask).tolist(),
            maxima(words // 2, tags, device),
        ),
    }


def matrix_products(steps: int, tags: int, device: torch.device) -> Run:
    rows = torch.rand(2, SENTENCES, tags, device=device, dtype=torch.float64)
    matrices = torch.rand(2, tags, tags, device=device, dtype=torch.float64)
    out = torch.empty_like(rows)
    if device.type == "cpu":
        a, b, c = rows.numpy(), matrices.numpy(), out.numpy()
        return lambda: [np.matmul(a, b, out=c) for _ in range(steps)]
    return lambda: [torch.bmm(rows, matrices, out=out) for _ in range(steps)]


def maxima(steps: int, tags: int, device: torch.device) -> Run:
    before = torch.rand(2, tags, 1, SENTENCES, device=device, dtype=torch.float64)
    scores = torch.rand(2, tags, tags, 1, device=device, dtype=torch.float64)
    sums = torch.empty(2, tags, tags, SENTENCES, device=device, dtype=torch.float64)
    out = torch.empty(2, tags, SENTENCES, device=device, dtype=torch.float64)

    def run() -> None:
        for _ in range(steps):
            torch.add(before, scores, out=sums)
            torch.amax(sums, 1, out=out)

    return run


def interleave(runs: list[Run], device: torch.device, budget: float) -> Tensor:
    """(repeats, contestants): seconds, after two warm-up rounds."""
    for run in runs * 2:
        run()
    rows: list[list[float]] = []
    gc.collect()
    gc.disable()
    stop = time.perf_counter() + budget
    while len(rows) < 8 or (time.perf_counter() < stop and len(rows) < 300):
        taken = {i: seconds(runs[i], device) for i in torch.randperm(len(runs)).tolist()}
        rows.append([taken[i] for i in range(len(runs))])
    gc.enable()
    return torch.tensor(rows)


def seconds(run: Run, device: torch.device) -> float:
    if device.type == "cpu":
        begin = time.thread_time()
        run()
        return time.thread_time() - begin
    torch.cuda.synchronize()
    begin = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - begin


def interval(values: Tensor) -> tuple[float, float]:
    """95% bootstrap interval of the median."""
    resamples = values[torch.randint(len(values), (2000, len(values)))].median(1).values
    low, high = resamples.quantile(torch.tensor([0.025, 0.975])).tolist()
    return low, high


def row(task: str, words: int, tags: int, times: Tensor) -> str:
    theirs, ours, bioes, floor = (1e3 * times.median(0).values).tolist()
    ratio = times[:, 0] / times[:, 1]
    low, high = interval(ratio)
    return (
        f"| {task} | {words} | {tags} | {theirs:.2f} | {ours:.2f} | "
        f"**{ratio.median():.1f}×** ({low:.1f} to {high:.1f}) | {bioes:.2f} | "
        f"{(times[:, 0] / times[:, 2]).median():.1f}× | {floor:.2f} | {ours / floor:.1f} |"
    )


if __name__ == "__main__":
    main()
