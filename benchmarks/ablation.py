"""Train variants with several seeds; print dev F1, time and peak memory of each.

    python benchmarks/ablation.py --train train.txt --dev valid.txt default
    python benchmarks/ablation.py --train train.txt --dev valid.txt --results runs.jsonl all

Each run is a process of its own, `llamaner train` as a user would run it. The first seed of a
variant computes its features unless another variant has them; the others take them from the store.
With --results a line is kept for each run that is done: the same command goes on where it was
stopped. Peak memory is the process's largest resident set, pages of the memory-mapped features
included. Flags that are not known here are handed on to each `llamaner train`.
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

VARIANTS: dict[str, list[str]] = {
    "default": [],
    "no context": ["--context", "0"],
    "no repeat": ["--repeat", "0"],
    "no repeat, no context": ["--repeat", "0", "--context", "0"],
    "repeat 2": ["--repeat", "2"],
    "bidirectional, no repeat": ["--attention", "bidirectional", "--repeat", "0"],
    "upper half bidirectional, no repeat": ["--attention", "bidirectional:16-30", "--repeat", "0"],
    "first subword": ["--pooling", "first"],
    "mean of subwords": ["--pooling", "mean"],
    "one layer": ["--layers", "18"],
    "weighted sum of layers": ["--layer-mix", "sum"],
    "no characters": ["--character-width", "0"],
    "no weight averaging": ["--weight-averaging", "0"],
    "LoRA": ["--adapt", "lora", "--repeat", "0", "--attention", "bidirectional:13-30"],
}


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True)
    parser.add_argument("--dev", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--store", help="folder of the features; else one that goes away")
    parser.add_argument("--results", type=Path, help="file for the runs that are done")
    parser.add_argument("variants", nargs="+", choices=[*VARIANTS, "all"], metavar="variant")
    return parser.parse_known_args()


def measured_run(arguments: list[str]) -> dict:
    """Scores, minutes and peak GiB of one `llamaner train`."""
    started = time.monotonic()
    command = [sys.executable, "-m", "llamaner.cli", "train", "--json", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"failed: {' '.join(command)}")
    kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    scores = json.loads(output)
    return {
        "f1": scores["strict"]["overall"]["f1"],
        "interval": scores["interval"],
        "best_epoch": scores["best_epoch"],
        "minutes": (time.monotonic() - started) / 60,
        "peak_gib": kilobytes / 2**20,
    }


def done_runs(path: Path | None) -> dict[tuple[str, int], dict]:
    if path is None or not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {(row["variant"], row["seed"]): row for row in rows}


def print_row(row: dict) -> None:
    low, high = row["interval"]
    print(
        f"| {row['variant']} | {row['seed']} | {row['f1']:.4f} | {low:.4f} to {high:.4f} "
        f"| {row['best_epoch']} | {row['minutes']:.1f} | {row['peak_gib']:.1f} |",
        flush=True,
    )


def print_summary(rows: list[dict]) -> None:
    print("\n| variant | mean F1 | standard deviation | seeds |\n|---|--:|--:|--:|")
    for variant in dict.fromkeys(row["variant"] for row in rows):
        found = [row["f1"] for row in rows if row["variant"] == variant]
        spread = f"{statistics.stdev(found):.4f}" if len(found) > 1 else ""
        print(f"| {variant} | {statistics.mean(found):.4f} | {spread} | {len(found)} |")


def main() -> None:
    arguments, others = parse_arguments()
    variants = list(VARIANTS) if "all" in arguments.variants else arguments.variants
    done, rows = done_runs(arguments.results), []
    print("| variant | seed | strict dev F1 | 95% interval | best epoch | minutes | peak GiB |")
    print("|---|--:|--:|--:|--:|--:|--:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        store = arguments.store or f"{folder}/store"
        data = ["--train", arguments.train, "--dev", arguments.dev, "--store", store]
        for variant in variants:
            for seed in range(arguments.seeds):
                row = done.get((variant, seed))
                if row is None:
                    place = ["--output", f"{folder}/tagger", "--overwrite", "--seed", str(seed)]
                    found = measured_run([*data, *place, *VARIANTS[variant], *others])
                    row = {"variant": variant, "seed": seed, **found}
                    if arguments.results:
                        with arguments.results.open("a") as file:
                            file.write(json.dumps(row) + "\n")
                rows.append(row)
                print_row(row)
    print_summary(rows)


if __name__ == "__main__":
    main()
