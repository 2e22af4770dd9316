"""A few errors of each kind, with no more of their sentences than shows what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llamaner.evaluation.disagreements import KINDS, Disagreement, Kind
from llamaner.evaluation.report import Report

EXAMPLES = 3
AROUND = 3
"""Words on either side: the texts of a corpus are often not ours to give away."""
LONGEST = 40
"""Characters on either side; the middle may have twice as many."""


@dataclass(frozen=True, slots=True)
class Example:
    """One error: what gold and the tagger have, in the middle of a few words."""

    error: Disagreement
    before: str
    middle: str
    after: str


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """How many errors of a kind there are, and examples from all over the data."""

    kind: Kind
    count: int
    examples: tuple[Example, ...]


def error_kinds(report: Report) -> Iterator[ErrorKind]:
    """The kinds of error that occur. The examples are the same each time."""
    for kind in KINDS:
        found = [error for error in report.errors if error.kind == kind]
        if found:
            examples = (_example(e, report.sentences[e.sentence].text) for e in _spread(found))
            yield ErrorKind(kind, len(found), tuple(examples))


def _spread(errors: Sequence[Disagreement]) -> list[Disagreement]:
    """Some from the beginning, the middle and the end of the data."""
    count = min(EXAMPLES, len(errors))
    return [errors[(2 * number + 1) * len(errors) // (2 * count)] for number in range(count)]


def _example(error: Disagreement, text: str) -> Example:
    entities = [entity for entity in (error.gold, error.found) if entity is not None]
    start = min(entity.start for entity in entities)
    end = max(entity.end for entity in entities)
    return Example(
        error, _end(text[:start]), clipped(text[start:end], 2 * LONGEST), _start(text[end:])
    )


def clipped(text: str, longest: int) -> str:
    """The text, or as much of its beginning as ``longest`` characters are."""
    return text if len(text) <= longest else f"{text[:longest]}…"


def _start(text: str) -> str:
    """The first words, and whether there are more."""
    words = text.split()
    kept = clipped(" ".join(words[:AROUND]), LONGEST)
    return kept if len(words) <= AROUND or kept.endswith("…") else f"{kept} …"


def _end(text: str) -> str:
    """The last words, and whether there are more."""
    words = text.split()
    kept = " ".join(words[-AROUND:])
    if len(kept) > LONGEST:
        return f"…{kept[-LONGEST:]}"
    return kept if len(words) <= AROUND else f"… {kept}"
