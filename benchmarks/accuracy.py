"""Train with several seeds and print dev F1, time and peak memory of each, from nothing.

    python benchmarks/accuracy.py --train train.txt --dev valid.txt

The first seed computes the features, the others take them from the store. Each seed is a process
of its own, `llamaner train` as a user would run it; further flags are handed on to it. Peak memory
is the process's largest resident set, pages of the memory-mapped features included.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True)
    parser.add_argument("--dev", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    return parser.parse_known_args()


def measured_run(arguments: list[str]) -> tuple[dict, float, float]:
    """Scores, minutes and peak GiB of one `llamaner train`."""
    started = time.monotonic()
    command = [sys.executable, "-m", "llamaner.cli", "train", "--json", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    scores = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"failed: {' '.join(command)}")
    kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return json.loads(scores), (time.monotonic() - started) / 60, kilobytes / 2**20


def main() -> None:
    arguments, others = parse_arguments()
    print("| seed | strict dev F1 | 95% interval | best epoch | minutes | peak GiB |")
    print("|--:|--:|--:|--:|--:|--:|", flush=True)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        data = ["--train", arguments.train, "--dev", arguments.dev]
        for seed in range(arguments.seeds):
            place = ["--store", f"{folder}/store", "--output", f"{folder}/seed{seed}"]
            scores, minutes, memory = measured_run([*data, *place, "--seed", str(seed), *others])
            f1, (low, high) = scores["strict"]["overall"]["f1"], scores["interval"]
            found.append(f1)
            print(
                f"| {seed} | {f1:.4f} | {low:.4f} to {high:.4f} | {scores['best_epoch']} "
                f"| {minutes:.1f} | {memory:.1f} |",
                flush=True,
            )
            size = sum(f.stat().st_size for f in Path(folder, "store").rglob("*") if f.is_file())
    spread = f", standard deviation {statistics.stdev(found):.4f}" if len(found) > 1 else ""
    print(f"\nmean of {len(found)} seeds {statistics.mean(found):.4f}{spread}; ", end="")
    print(f"features on disk {size / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
