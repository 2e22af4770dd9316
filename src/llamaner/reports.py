"""What the commands print: tables and marked text, on a terminal in colour."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from llamaner.terminal import PlainConsole

if TYPE_CHECKING:
    from llamaner.backbone import Choice, MemoryPlan, StoreReport
    from llamaner.corpus import CorpusReport, Document, FileReport
    from llamaner.corpus.checking import Example
    from llamaner.evaluation import Comparison, Evaluation, Score
    from llamaner.evaluation.intervals import Interval

output = PlainConsole()

_COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "red")
_DOUBTFUL = "yellow"


def print_evaluation(evaluation: Evaluation) -> None:
    """Strict scores with the conlleval-compatible F1 beside them, a row a label."""
    table = Table("label")
    for name in ("precision", "recall", "F1", "95% interval", "F1 conlleval", "gold"):
        table.add_column(name, justify="right", no_wrap=True)
    lenient = evaluation.conlleval
    for label, score in sorted(evaluation.strict.labels.items()):
        table.add_row(*_score_row(label, score, lenient.labels.get(label)))
    table.add_section()
    table.add_row(*_score_row("all", evaluation.strict.overall, lenient.overall), style="bold")
    output.print(table)
    output.print(
        f"strict F1 {evaluation.strict.overall.f1:.4f} "
        f"(95% interval {_interval(evaluation.interval) or 'unknown'}), "
        f"documents {evaluation.documents:,}, sentences {evaluation.sentences:,}, "
        f"words {evaluation.words:,}"
    )


def print_comparison(comparison: Comparison) -> None:
    """The strict F1 of both, the difference, and how sure it is, a row a label."""
    table = Table("label")
    for name in ("F1 first", "F1 second", "difference", "95% interval"):
        table.add_column(name, justify="right")
    table.add_column("p bootstrap", justify="right")
    table.add_column("p randomisation", justify="right")
    overall, *labels = comparison.differences
    for difference in (*labels, overall):
        if difference is overall:
            table.add_section()
        table.add_row(
            difference.label or "all",
            f"{difference.first:.4f}",
            f"{difference.second:.4f}",
            f"{difference.difference:+.4f}",
            _interval(difference.interval, sign="+"),
            f"{difference.bootstrap_p:.4f}",
            f"{difference.randomisation_p:.4f}",
            style="bold" if difference is overall else None,
        )
    output.print(f"first: {comparison.first}\nsecond: {comparison.second}")
    output.print(table)
    output.print(f"they differ in {len(comparison.sentences):,} sentences")


def print_corpus_report(report: CorpusReport) -> None:
    """Sizes and suspicions of corpus files."""
    for file in report.files:
        _print_file(file)
    for overlap in report.overlaps:
        output.print(
            f"{overlap.sentences:,} sentences of {overlap.second} stand in {overlap.first} too, "
            f"as: {overlap.examples[0][:100]!r}",
            style=_DOUBTFUL,
        )
    for variants in report.case_variants:
        output.print(f"labels that differ in case only: {', '.join(variants)}", style=_DOUBTFUL)
    if report.rare_labels:
        output.print(f"labels seen once: {', '.join(report.rare_labels)}", style=_DOUBTFUL)


def print_documents(documents: Iterable[Document]) -> None:
    """Texts with their entities marked, each with its label and confidence."""
    colours: dict[str, str] = {}
    for document in documents:
        marked, position = Text(), 0
        for entity in document.entities:
            colour = colours.setdefault(entity.label, _COLOURS[len(colours) % len(_COLOURS)])
            marked.append(document.text[position : entity.start])
            marked.append("[", style="dim")
            marked.append(entity.text, style=f"bold {colour}")
            confidence = "" if entity.confidence is None else f" {entity.confidence:.0%}"
            marked.append(f" {entity.label}{confidence}", style=colour)
            marked.append("]", style="dim")
            position = entity.end
        marked.append(document.text[position:])
        output.print(marked)


def print_store(reports: Iterable[StoreReport]) -> None:
    """The contents of a feature store, a row a backbone as set up."""
    if not (reports := list(reports)):
        output.print("nothing is stored there")
        return
    table = Table("key", "model", "layers", "repeat", "pooling", "precision")
    for name in ("sentences", "words", "MiB"):
        table.add_column(name, justify="right")
    for report in reports:
        table.add_row(
            report.key[:12],
            report.model,
            " ".join(map(str, report.layers)),
            str(report.repeat),
            report.pooling,
            report.precision,
            f"{report.sentences:,}",
            f"{report.words:,}",
            f"{report.bytes / 2**20:,.1f}",
        )
    output.print(table)


def print_plan(plan: MemoryPlan) -> None:
    """What a backbone takes, and what other ways to run it would take."""
    chosen = plan.chosen
    on_cpu = plan.device == "cpu"
    total = chosen.weights + chosen.activations + (plan.program if on_cpu else 0)
    place = f"{plan.depth} blocks of width {plan.width:,}, {chosen.blocks} of them loaded"
    read = " while they are rounded to int8" if chosen.precision == "int8" else ""
    pairs = [
        ("model", f"{plan.model}: {place}"),
        ("weights", _size(chosen.weights) + read),
        ("activations", f"{_size(chosen.activations)} for {chosen.token_budget:,} subwords"),
        ("program", f"{_size(plan.program)} (Python, PyTorch, the tokenizer)"),
        (f"peak on {plan.device}", f"{_size(total)}; {_size(plan.free)} are free"),
    ]
    if plan.words:
        pairs.append(("feature store", f"{_size(plan.store)} on disk for {plan.words:,} words"))
    print_pairs(pairs)
    table = Table("layers", "precision", "quantization")
    for name in ("weights", "activations", "subwords"):
        table.add_column(name, justify="right")
    table.add_column("fits")
    for choice in plan.alternatives:
        table.add_row(*_choice_row(choice), style="" if choice.fits else "dim")
    output.print(table)
    if not chosen.fits:
        output.print("as set up, it does not fit into what is free now", style=_DOUBTFUL)


def _choice_row(choice: Choice) -> tuple[str, ...]:
    return (
        " ".join(map(str, choice.layers)),
        choice.precision,
        choice.quantization,
        _size(choice.weights),
        _size(choice.activations),
        f"{choice.token_budget:,}",
        "yes" if choice.fits else "no",
    )


def _size(count: float) -> str:
    return f"{count / 2**30:.2f} GiB"


def print_json(value: object) -> None:
    """JSON, indented."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values in two columns."""
    table = Table(show_header=False, box=None)
    for name, value in pairs:
        table.add_row(Text(name, style="bold"), Text(str(value)))
    output.print(table)


def _print_file(file: FileReport) -> None:
    output.print(file.path, style="bold")
    labels = ", ".join(f"{label} {count:,}" for label, count in sorted(file.labels.items()))
    print_pairs(
        [
            ("scheme", file.scheme or "spans"),
            ("documents", f"{file.documents:,}"),
            ("sentences", f"{file.sentences:,}"),
            ("words", f"{file.words:,}"),
            ("entities", f"{file.entities:,} ({labels})"),
            ("repeated sentences", f"{file.duplicates:,}"),
            *(("longest sentence", _length(example)) for example in file.longest),
        ]
    )
    if file.conflicts:
        output.print(
            f"  {file.conflicts:,} sentences are annotated in several ways", style=_DOUBTFUL
        )
    for title, found, count in (
        ("ill-formed tags", file.ill_formed, file.ill_formed_count),
        ("entities across the end of a sentence", file.crossing, file.crossing_count),
    ):
        if count:
            output.print(f"  {count:,} {title}", style=_DOUBTFUL)
        for suspicion in found:
            output.print(f"    {file.path}:{suspicion.line}: {suspicion.found}")


def _length(example: Example) -> str:
    size = f"{example.words:,} words"
    if example.subwords is not None:
        size += f", {example.subwords:,} subwords"
    return size if example.line is None else f"{size}, line {example.line:,}"


def _score_row(label: str, score: Score, lenient: Score | None) -> tuple[str, ...]:
    shown = [f"{value:.4f}" for value in (score.precision, score.recall, score.f1)]
    conlleval = "" if lenient is None else f"{lenient.f1:.4f}"
    return label, *shown, _interval(score.interval), conlleval, f"{score.support:,}"


def _interval(interval: Interval | None, sign: str = "") -> str:
    return "" if interval is None else " to ".join(f"{end:{sign}.3f}" for end in interval)
