"""The Markdown page: a block of tables for each part; what stands around the blocks is kept."""

import re
import statistics
from pathlib import Path
from typing import Any

Results = dict[str, Any]


def write_page(path: Path, parts: dict[str, Results]) -> None:
    """Put the tables of these parts between their markers, or at the end where there are none."""
    text = path.read_text(encoding="utf-8") if path.exists() else "# Benchmarks\n"
    for name, results in parts.items():
        block = f"<!-- bench: {name} -->\n{_block(name, results)}\n<!-- /bench: {name} -->"
        marked = re.compile(rf"<!-- bench: {name} -->.*?<!-- /bench: {name} -->", flags=re.DOTALL)
        if marked.search(text):
            text = marked.sub(lambda _, block=block: block, text)
        else:
            text += f"\n## {name.capitalize()}\n\n{block}\n"
    path.write_text(text, encoding="utf-8")


def _block(name: str, results: Results) -> str:
    machine = results["machine"]
    about = (
        f"{machine['date']}, {machine['cpu']}, {machine['threads']} threads; load before "
        f"{machine['load']:.1f}; Python {machine['python']}, torch {machine['torch']}. "
    )
    rows = _TABLES[name](results)
    return "\n\n".join([about + _DESCRIPTIONS[name](results), rows, _ratios(results)]).strip()


def _tagging(results: Results) -> str:
    rows = []
    for name, of in results["contenders"].items():
        if "seconds" in of:
            rate = results["words"] / statistics.median(of["seconds"])
            rows.append([name, f"{rate:,.0f}", _mib(of), _about(of.get("about", {}))])
        else:
            rows.append([name, "—", "—", _reason(of)])
    return _table(["contender", "words/s", "peak MiB", ""], "lrrl", rows)


def _about(about: Results) -> str:
    """What is worth telling of a contender."""
    told = []
    if "precision" in about:
        told.append(f"{about['precision']}, {sum(about['rows']):,} subwords read")
    if "parameters" in about:
        told.append(f"{about['parameters'] / 1e6:.0f} M weights, {about['subwords']:,} subwords")
    if "dev_f1" in about:
        told.append(f"dev F1 {about['dev_f1']:.4f}, trained in {about['train_seconds']:.0f} s")
    if "operations" in about:
        told.append(f"{about['operations'] / 1e9:,.0f} billion operations")
    for library in ("flair", "transformers", "onnxruntime", "spacy"):
        if library in about:
            told.append(f"{library} {about[library]}")
    return "; ".join(told)


def _latency(results: Results) -> str:
    rows = []
    for name, of in results["contenders"].items():
        if "calls" in of:
            calls = sorted(1000 * call for calls in of["calls"] for call in calls)
            shares = (0.5, 0.9, 0.99)
            rows.append([name, *(f"{calls[int(s * (len(calls) - 1))]:.1f}" for s in shares), ""])
        else:
            rows.append([name, "—", "—", "—", _reason(of)])
    return _table(["contender", "median ms", "90%", "99%", ""], "lrrrl", rows)


def _epoch(results: Results) -> str:
    rows = []
    for name, of in results["contenders"].items():
        if "seconds" not in of:
            rows.append([name, "—", "—", _reason(of)])
            continue
        features = of.get("features", {}).get("seconds")
        note = f"features before: {features:.1f} s" if features else ""
        memory = _mib(of) if "peak_bytes" in of else ""
        rows.append([name, f"{statistics.median(of['seconds']):.2f}", memory, note])
    return _table(["contender", "seconds an epoch", "peak MiB", ""], "lrrl", rows)


def _training(results: Results) -> str:
    rows = []
    for name, of in results["contenders"].items():
        if "curve" not in of:
            rows.append([name, "—", "—", "—", "—", _reason(of)])
            continue
        best = max(f1 for _, f1 in of["curve"])
        reached = of["seconds_to_target"]
        to_target = f"{reached:.1f}" if reached else "never"
        rows.append([name, f"{of['seconds'][0]:.1f}", to_target, f"{best:.4f}", _mib(of), ""])
    targets = [of["target_f1"] for of in results["contenders"].values() if "target_f1" in of]
    target = f"seconds to F1 {targets[0]:.3f}" if targets else "seconds to F1"
    heads = ["contender", "seconds", target, "best dev F1", "peak MiB", ""]
    return _table(heads, "lrrrrl", rows)


def _growth(results: Results) -> str:
    rows = []
    for name, sizes in results["contenders"].items():
        for size, of in sizes.items():
            if "words" in of:
                words, seconds = statistics.median(of["words"]), statistics.median(of["seconds"])
                rows.append([name, f"{int(size):,}", f"{words / seconds:,.0f}", _mib(of), ""])
            else:
                rows.append([name, f"{int(size):,}", "—", "—", _reason(of)])
    return _table(["contender", "words", "words/s", "peak MiB", ""], "lrrrl", rows)


_TABLES = {
    "tagging": _tagging,
    "latency": _latency,
    "epoch": _epoch,
    "training": _training,
    "growth": _growth,
}

_DESCRIPTIONS = {
    "tagging": lambda r: f"{r['sentences']:,} sentences, {r['words']:,} words.",
    "latency": lambda r: f"One sentence: “{r['sentence']}”",
    "epoch": lambda r: (
        f"{r['sentences']:,} sentences in batches of 32, BiLSTM of width {r['lstm_width']}."
    ),
    "training": lambda r: (
        f"{r['sentences']:,} sentences ({r['documents']} documents), judged on "
        f"{r['dev_documents']}; {r['epochs']} epochs; one run of each."
    ),
    "growth": lambda _: "Each size is a process of its own.",
}


def _ratios(results: Results) -> str:
    rows = []
    for row in results["ratios"]:
        interval = f"{row['low']:.2f} to {row['high']:.2f}" if "low" in row else ""
        goal = row.get("goal")
        met = "" if goal is None else f"≥ {goal:g}: {'met' if row['value'] >= goal else 'missed'}"
        rows.append([row["name"], f"**{row['value']:.2f}**", interval, met])
    return _table(["ratio", "", "95% interval", "goal"], "lrrl", rows) if rows else ""


def _table(heads: list[str], sides: str, rows: list[list[str]]) -> str:
    lines = [heads, ["--:" if side == "r" else "---" for side in sides], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _mib(of: Results) -> str:
    return f"{of['peak_bytes'] / 2**20:,.0f}"


def _reason(of: Results) -> str:
    return "does not run: " + of.get("error", "no answer").replace("|", "/")
