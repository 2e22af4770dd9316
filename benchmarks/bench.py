"""LlamaNER beside its peers, in one run on one machine: `make bench` runs it with its defaults.

    python benchmarks/bench.py                      # all parts, about a quarter of an hour
    python benchmarks/bench.py tagging latency      # some
    python benchmarks/bench.py growth --most-words 1000000
    python benchmarks/bench.py --train train.txt --dev valid.txt --markdown docs/benchmarks.md

Each contender is a process of its own, in an environment of its own (made in `.bench` from the
pinned `workers/requirements` when it is first needed). They are warmed up, and then take turns, so
that a busy machine slows them alike. Ratios are medians of the rounds' ratios, with 95% bootstrap
intervals. A contender that cannot be installed or run is told of, and the others go on.

Where a part is run again, its results replace the earlier ones in both files; those of other parts,
and the page's prose, stay.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import tempfile
import time
from pathlib import Path

from harness.bench import FOLDER, Bench
from harness.page import write_page
from harness.parts import PARTS
from harness.processes import say

from llamaner.corpus import sample_path


def preset_and_folder(text: str) -> tuple[str, str]:
    preset, equals, folder = text.partition("=")
    return (preset, folder) if equals else ("default", text)


def parse_arguments() -> argparse.Namespace:
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; or all")
    parser.add_argument("--train", default=str(sample_path("train")))
    parser.add_argument("--dev", default=str(sample_path("dev")))
    parser.add_argument("--json", type=Path, default=FOLDER / "results.json")
    parser.add_argument("--markdown", type=Path, help="page whose tables are replaced")
    parser.add_argument("--backbone", default="default", help="of ours, Flair and the LLaMAs")
    parser.add_argument(
        "--model",
        action="append",
        type=preset_and_folder,
        default=[],
        metavar="[PRESET=]FOLDER",
        help="a trained tagger instead of random weights",
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="contenders with such names")
    parser.add_argument("--threads", type=int, default=cores, help="of each contender")
    parser.add_argument("--timeout", type=float, default=7200, help="seconds for an answer")
    parser.add_argument("--rounds", type=int, default=7, help="tagging, latency")
    parser.add_argument("--seconds", type=float, default=1, help="tagging: a round, at least")
    parser.add_argument("--sentences", type=int, default=240, help="tagging")
    parser.add_argument("--calls", type=int, default=15, help="latency: a round")
    parser.add_argument("--epoch-sentences", type=int, default=512)
    parser.add_argument("--epoch-rounds", type=int, default=3)
    parser.add_argument("--lstm-width", type=int, default=384, help="epoch, tutorial loop")
    parser.add_argument("--documents", type=int, default=16, help="training")
    parser.add_argument("--epochs", type=int, default=20, help="training")
    parser.add_argument("--target-f1", type=float, help="training; else the best that all reach")
    parser.add_argument("--most-words", type=int, default=10_000, help="growth")
    options = parser.parse_args()
    options.parts = options.parts or list(PARTS)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return options


def machine(threads: int) -> dict:
    """Where and when this was measured."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": names[0] if names else platform.processor(),
        "threads": threads,
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "torch": importlib.metadata.version("torch").partition("+")[0],
    }


def main() -> None:
    options = parse_arguments()
    FOLDER.mkdir(exist_ok=True)
    results = json.loads(options.json.read_text()) if options.json.exists() else {}
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        bench = Bench(options, Path(folder))
        for part in options.parts:
            say(part)
            about, started = machine(options.threads), time.monotonic()
            results[part] = {"machine": about, **PARTS[part](bench)}
            results[part]["minutes"] = (time.monotonic() - started) / 60
            options.json.write_text(json.dumps(results, indent=1) + "\n")
            if options.markdown:
                write_page(options.markdown, {part: results[part]})
    for part in options.parts:
        for row in results[part]["ratios"]:
            interval = f" ({row['low']:.2f} to {row['high']:.2f})" if "low" in row else ""
            goal = f", goal {row['goal']:g}" if row.get("goal") else ""
            print(f"{part}: {row['name']}: {row['value']:.2f}{interval}{goal}")


if __name__ == "__main__":
    main()
