"""What to know of a corpus before training on it: sizes, duplicates, and what looks wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from heapq import nlargest
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

from llamaner.corpus.conll import corpus_from_rows
from llamaner.corpus.conll_rows import ConllFile, read_rows
from llamaner.corpus.jsonl import numbered_documents
from llamaner.corpus.reading import Format, locate, read_corpus, refuse_empty
from llamaner.corpus.schemes import OUTSIDE, Scheme, ill_formed, split_tag
from llamaner.corpus.types import Corpus, Sentence
from llamaner.errors import CorpusError, Problem

_SUSPICIONS = 20
_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A line of a file that can be read, but is probably not meant so."""

    line: int
    found: str


@dataclass(frozen=True, slots=True)
class Example:
    """A sentence, with the line where it begins (for JSON lines: its document's) if known."""

    line: int | None
    text: str
    words: int
    subwords: int | None = None


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file of the check.

    ``duplicates`` counts the sentences whose words stood in the file before; ``conflicts`` those
    word sequences that have different entities at different places. ``ill_formed`` and
    ``crossing`` (entities that seem to go on across the end of a sentence) hold the first 20,
    and their counts tell how many there are.
    """

    path: str
    scheme: Scheme | None
    documents: int
    sentences: int
    words: int
    entities: int
    labels: dict[str, int]
    duplicates: int
    conflicts: int
    ill_formed: tuple[Suspicion, ...]
    ill_formed_count: int
    crossing: tuple[Suspicion, ...]
    crossing_count: int
    longest: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Overlap:
    """How many sentences of ``second`` occur in ``first`` too, and some of them."""

    first: str
    second: str
    sentences: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CorpusReport:
    """All files of the check.

    ``case_variants`` are labels that differ in upper and lower case only, ``rare_labels`` those
    of one entity in all files.
    """

    files: tuple[FileReport, ...]
    overlaps: tuple[Overlap, ...]
    case_variants: tuple[tuple[str, ...], ...]
    rare_labels: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report in dictionaries, lists, strings and numbers."""
        return asdict(self)


def check_corpus(
    sources: Iterable[str | Path],
    *,
    format: Format | None = None,
    word_column: int = 0,
    tag_column: int = -1,
    language: str = "en",
    count_subwords: Callable[[str], int] | None = None,
) -> CorpusReport:
    """Read the sources as ``read_corpus`` does and report on them, together and one by one.

    The longest sentences are those with the most subwords where ``count_subwords`` says how many
    a text has, otherwise those with the most words.
    Raises ``CorpusError`` with the faults of all sources that cannot be read.
    """
    read: list[_Source] = []
    problems: list[Problem] = []
    count = 0
    for source in sources:
        try:
            read.append(_read(source, format, word_column, tag_column, language))
        except CorpusError as error:
            problems += error.problems
            count += error.count
    if problems:
        raise CorpusError(problems, count)
    totals = Counter(
        e.label for source in read for s in source.corpus.sentences for e in s.entities
    )
    return CorpusReport(
        tuple(_file_report(source, count_subwords) for source in read),
        tuple(_overlaps(read)),
        _case_variants(totals),
        tuple(sorted(label for label, number in totals.items() if number == 1)),
    )


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    corpus: Corpus
    lines: Sequence[int | None]
    rows: ConllFile | None = None


def _read(
    source: str | Path, format: Format | None, word_column: int, tag_column: int, language: str
) -> _Source:
    at = locate(source, format)
    rows = None
    lines: list[int | None]
    if at.format == "conll":
        rows, problems = read_rows(at.source, word_column=word_column, tag_column=tag_column)
        corpus = corpus_from_rows(rows, problems)
        lines = [sentence.lines[0] for sentence in rows.sentences]
    elif at.format == "jsonl":
        numbered = numbered_documents(at.source, language=language)
        corpus = Corpus(tuple(document for _, document in numbered))
        lines = [line for line, document in numbered for _ in document.sentences]
    else:
        corpus = read_corpus(source, format=format)
        lines = [None for _ in corpus.sentences]
    refuse_empty(corpus, str(source))
    return _Source(str(source), corpus, lines, rows)


def _file_report(source: _Source, count_subwords: Callable[[str], int] | None) -> FileReport:
    sentences = list(source.corpus.sentences)
    readings: defaultdict[tuple[str, ...], set[tuple[object, ...]]] = defaultdict(set)
    for sentence in sentences:
        readings[sentence.words].add(tuple(sentence.label_spans))
    bad = list(_ill_formed(source))
    crossing = list(_crossing(source))
    labels = Counter(entity.label for sentence in sentences for entity in sentence.entities)
    return FileReport(
        path=source.name,
        scheme=source.corpus.scheme,
        documents=len(source.corpus),
        sentences=len(sentences),
        words=sum(map(len, sentences)),
        entities=labels.total(),
        labels=dict(labels.most_common()),
        duplicates=len(sentences) - len(readings),
        conflicts=sum(len(different) > 1 for different in readings.values()),
        ill_formed=tuple(bad[:_SUSPICIONS]),
        ill_formed_count=len(bad),
        crossing=tuple(crossing[:_SUSPICIONS]),
        crossing_count=len(crossing),
        longest=tuple(_longest(sentences, source.lines, count_subwords)),
    )


def _ill_formed(source: _Source) -> Iterator[Suspicion]:
    scheme = source.corpus.scheme
    if source.rows is None or source.rows.layout.tag is None or scheme is None:
        return
    for sentence in source.rows.sentences:
        for fault in ill_formed(sentence.column(source.rows.layout.tag), scheme):
            before = fault.previous or "the start of the sentence"
            after = fault.tag or "the end of the sentence"
            yield Suspicion(sentence.lines[fault.position], f"{after} after {before}")


def _crossing(source: _Source) -> Iterator[Suspicion]:
    # In IOB1 any entity at the start of a sentence has I-, so that nothing can be told.
    if source.rows is None or source.rows.layout.tag is None or source.corpus.scheme == "IOB1":
        return
    for document in source.rows.documents:
        for before, after in pairwise(document.sentences):
            last = before.rows[-1][source.rows.layout.tag]
            first = after.rows[0][source.rows.layout.tag]
            if _goes_on(last, first):
                found = f"{first} goes on from {last} of the sentence before"
                yield Suspicion(after.lines[0], found)


def _goes_on(last: str, first: str) -> bool:
    (_, label), (prefix, first_label) = split_tag(last), split_tag(first)
    return last != OUTSIDE and prefix in ("I", "E") and label == first_label


def _longest(
    sentences: Sequence[Sentence],
    lines: Sequence[int | None],
    count_subwords: Callable[[str], int] | None,
) -> list[Example]:
    examples = (
        Example(line, s.text, len(s), count_subwords(s.text) if count_subwords else None)
        for s, line in zip(sentences, lines, strict=True)
    )
    return nlargest(_EXAMPLES, examples, key=lambda example: example.subwords or example.words)


def _overlaps(sources: Sequence[_Source]) -> Iterator[Overlap]:
    known = [{sentence.words for sentence in source.corpus.sentences} for source in sources]
    for (first, first_known), (second, _) in combinations(zip(sources, known, strict=True), 2):
        shared = [s for s in second.corpus.sentences if s.words in first_known]
        if shared:
            longest = sorted({" ".join(s.words) for s in shared}, key=len, reverse=True)
            yield Overlap(first.name, second.name, len(shared), tuple(longest[:_EXAMPLES]))


def _case_variants(labels: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    folded: defaultdict[str, list[str]] = defaultdict(list)
    for label in sorted(labels):
        folded[label.casefold()].append(label)
    return tuple(tuple(variants) for variants in folded.values() if len(variants) > 1)
