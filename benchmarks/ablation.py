"""Train variants with several seeds; print dev F1, time and peak memory of each.

    python benchmarks/ablation.py --train train.txt --dev valid.txt default
    python benchmarks/ablation.py --train train.txt --dev valid.txt --results runs.jsonl all

Each run is a process of its own, `llamaner train` as a user would run it. The first seed of a
variant computes its features unless another variant has them; the others take them from the store.
With --results a line is kept for each run that is done: the same command goes on where it was
stopped. With --train-part 4 every fourth document is learnt from: differences show in an hour that
the whole corpus shows in a night. Peak memory is the process's largest resident set, pages of the
memory-mapped features included. Other flags are handed on to each `llamaner train`.
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

from llamaner.backbone import Backbone
from llamaner.configuration import BackboneSettings
from llamaner.corpus import read_corpus
from llamaner.presets import PRESETS

FIELDS = BackboneSettings.model_fields
VARIANTS: dict[str, dict] = {
    "default": {},
    "repeat 0": {"repeat": 0},
    "repeat 2": {"repeat": 2},
    "repeat 0, all blocks bidirectional": {"repeat": 0, "attention": "bidirectional"},
    "repeat 0, upper blocks bidirectional": {"repeat": 0, "attention": "bidirectional:upper"},
    "context 0": {"context": 0},
    "repeat 0, context 0": {"repeat": 0, "context": 0},
    "first subword": {"pooling": "first"},
    "last subword": {"pooling": "last"},
    "layers up to 15": {"depth": 0.5},
    "layers up to 30": {"depth": 1.0},
    "one layer": {"layers": [18]},
    "last four layers": {"layers": [27, 28, 29, 30]},
    "weighted sum of layers": {"layer_mix": "sum"},
    "no characters": {"character_width": 0},
    "no word dropout": {"word_dropout": 0.0},
    "dropout 0.3": {"dropout": 0.3},
    "BiLSTM 2 x 256": {"lstm_width": 256},
    "no weight averaging": {"weight_averaging": 0.0},
    "learning rate 0.002": {"learning_rate": 0.002},
    "float32 products": {"mixed_precision": False},
    "int8": {"precision": "int8"},
    "recased 0.1": {"recased": 0.1},
    "documents only": {"alone": 0.0},
    "softmax instead of the CRF": {"head": "softmax"},
    "LSTM over characters": {"head": "character-lstm"},
    "features of case": {"head": "case-features"},
    "two layers of BiLSTM": {"head": "two-layers"},
    "variational dropout": {"head": "variational-dropout"},
    "fast": {"preset": "fast"},
    "accurate": {"preset": "accurate"},
}
DOCUMENTS_TIMED = 8


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True)
    parser.add_argument("--dev", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train-part", type=int, default=1, help="every so-manieth document only")
    parser.add_argument("--dev-part", type=int, default=1)
    parser.add_argument("--precision", default="auto", help="of the variants that name none")
    parser.add_argument("--store", help="folder of the features; else one that goes away")
    parser.add_argument("--results", type=Path, help="file for the runs that are done")
    parser.add_argument("variants", nargs="+", choices=[*VARIANTS, "all"], metavar="variant")
    return parser.parse_known_args()


def part_of(path: str, step: int, folder: str, name: str) -> str:
    """Every ``step``-th document of a CoNLL file, in a file of its own."""
    if step == 1:
        return path
    lines: list[str] = []
    number = -1
    for line in Path(path).read_text(encoding="utf-8").splitlines(keepends=True):
        number += line.startswith("-DOCSTART-")
        if number % step == 0:
            lines.append(line)
    found = Path(folder, name)
    found.write_text("".join(lines), encoding="utf-8")
    return str(found)


def flags(settings: dict) -> list[str]:
    """Settings as a user gives them to `llamaner train`."""
    found: list[str] = []
    for name, value in settings.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            found.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            values = value if isinstance(value, list) else [value]
            found += [f"--{flag}", *map(str, values)]
    return found


def words_per_second(settings: dict, path: str) -> float:
    """Of the backbone alone, in a processor's seconds, at the faster of two readings."""
    preset = PRESETS[settings.get("preset", "default")].get("backbone", {})
    given = {**preset, **settings}
    backbone = Backbone(BackboneSettings(**{n: v for n, v in given.items() if n in FIELDS}))
    documents = read_corpus(path).documents[:DOCUMENTS_TIMED]
    words = sum(len(sentence) for document in documents for sentence in document.sentences)
    seconds = []
    for _ in range(3):
        started = time.process_time()
        for _ in backbone.embed_sentences(documents):
            pass
        seconds.append(time.process_time() - started)
    return words / min(seconds[1:])


def measured_run(head: str | None, arguments: list[str]) -> dict:
    """Scores, minutes and peak GiB of one `llamaner train`, with a head of heads.py if named."""
    started = time.monotonic()
    program = [str(Path(__file__).with_name("heads.py")), head] if head else ["-m", "llamaner.cli"]
    command = [sys.executable, *program, "train", "--json", *arguments]
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
        f"| {row['words_per_second']:,.0f} | {row['best_epoch']} | {row['minutes']:.1f} "
        f"| {row['peak_gib']:.1f} |",
        flush=True,
    )


def print_summary(rows: list[dict]) -> None:
    print(
        "\n| variant | mean F1 | standard deviation | seeds | words/s of a core | peak GiB |\n"
        "|---|--:|--:|--:|--:|--:|"
    )
    for variant in dict.fromkeys(row["variant"] for row in rows):
        runs = [row for row in rows if row["variant"] == variant]
        found = [row["f1"] for row in runs]
        spread = f"{statistics.stdev(found):.4f}" if len(found) > 1 else ""
        speed = statistics.median(row["words_per_second"] for row in runs)
        peak = max(row["peak_gib"] for row in runs)
        print(
            f"| {variant} | {statistics.mean(found):.4f} | {spread} | {len(found)} | {speed:,.0f} "
            f"| {peak:.1f} |"
        )


def main() -> None:
    arguments, others = parse_arguments()
    variants = list(VARIANTS) if "all" in arguments.variants else arguments.variants
    done, rows = done_runs(arguments.results), []
    print(
        "| variant | seed | strict dev F1 | 95% interval | words/s of a core | best epoch "
        "| minutes | peak GiB |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        store = arguments.store or f"{folder}/store"
        train = part_of(arguments.train, arguments.train_part, folder, "train.conll")
        dev = part_of(arguments.dev, arguments.dev_part, folder, "dev.conll")
        data = ["--train", train, "--dev", dev, "--store", store]
        for variant in variants:
            speed = 0.0
            for seed in range(arguments.seeds):
                row = done.get((variant, seed))
                if row is None:
                    settings = {"precision": arguments.precision, **VARIANTS[variant]}
                    head = settings.pop("head", None)
                    speed = speed or words_per_second(settings, dev)
                    place = ["--output", f"{folder}/tagger", "--overwrite", "--seed", str(seed)]
                    found = measured_run(head, [*data, *place, *flags(settings), *others])
                    row = {"variant": variant, "seed": seed, "words_per_second": speed, **found}
                    if arguments.results:
                        with arguments.results.open("a") as file:
                            file.write(json.dumps(row) + "\n")
                rows.append(row)
                print_row(row)
    print_summary(rows)


if __name__ == "__main__":
    main()
