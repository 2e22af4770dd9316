"""What the commands print: tables and marked text, on a terminal in colour."""

from __future__ import annotations

import json
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from llamaner.backbone import StoreReport
from llamaner.corpus import CorpusReport, Document, FileReport
from llamaner.evaluation import Evaluation, Score

output = Console(highlight=False, soft_wrap=True)

_COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "red")


def print_evaluation(evaluation: Evaluation) -> None:
    """Strict scores with the conlleval-compatible F1 beside them, a row a label."""
    table = Table("label")
    for name in ("precision", "recall", "F1", "F1 conlleval", "entities"):
        table.add_column(name, justify="right")
    lenient = evaluation.conlleval
    for label, score in sorted(evaluation.strict.labels.items()):
        table.add_row(*_score_row(label, score, lenient.labels.get(label)))
    table.add_section()
    table.add_row(*_score_row("all", evaluation.strict.overall, lenient.overall), style="bold")
    output.print(table)
    low, high = evaluation.interval
    output.print(
        f"strict F1 {evaluation.strict.overall.f1:.4f} (95% interval {low:.4f} to {high:.4f}), "
        f"{evaluation.documents:,} documents, {evaluation.sentences:,} sentences, "
        f"{evaluation.words:,} words"
    )


def print_corpus_report(report: CorpusReport) -> None:
    """Sizes and suspicions of corpus files."""
    for file in report.files:
        _print_file(file)
    for overlap in report.overlaps:
        output.print(
            f"[yellow]{overlap.sentences:,} sentences of {overlap.second} stand in "
            f"{overlap.first} too[/], as: {overlap.examples[0][:100]!r}"
        )
    for variants in report.case_variants:
        output.print(f"[yellow]labels that differ in case only:[/] {', '.join(variants)}")
    if report.rare_labels:
        output.print(f"[yellow]labels seen once:[/] {', '.join(report.rare_labels)}")


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
    output.print(f"[bold]{file.path}[/]")
    labels = ", ".join(f"{label} {count:,}" for label, count in sorted(file.labels.items()))
    rows: list[tuple[str, object]] = [
        ("scheme", file.scheme or "spans"),
        ("documents", f"{file.documents:,}"),
        ("sentences", f"{file.sentences:,}"),
        ("words", f"{file.words:,}"),
        ("entities", f"{file.entities:,} ({labels})"),
        ("repeated sentences", f"{file.duplicates:,}"),
    ]
    if file.longest:
        longest = file.longest[0]
        size = f"{longest.words:,} words"
        if longest.subwords is not None:
            size += f", {longest.subwords:,} subwords"
        place = "" if longest.line is None else f", line {longest.line:,}"
        rows.append(("longest sentence", size + place))
    print_pairs(rows)
    if file.conflicts:
        output.print(f"  [yellow]{file.conflicts:,} sentences are annotated in several ways[/]")
    for title, found, count in (
        ("ill-formed tags", file.ill_formed, file.ill_formed_count),
        ("entities across the end of a sentence", file.crossing, file.crossing_count),
    ):
        if count:
            output.print(f"  [yellow]{count:,} {title}[/]")
        for suspicion in found:
            output.print(f"    {file.path}:{suspicion.line}: {suspicion.found}", markup=False)


def _score_row(label: str, score: Score, lenient: Score | None) -> tuple[str, ...]:
    shown = [f"{value:.4f}" for value in (score.precision, score.recall, score.f1)]
    return label, *shown, "" if lenient is None else f"{lenient.f1:.4f}", f"{score.support:,}"
