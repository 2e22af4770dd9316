"""CoNLL columns as they stand in a file: rows of fields with their line numbers.

What belongs to the layout is settled here: the separator, which lines are comments, where
sentences and documents end. What the fields mean is for ``conll`` and ``checking``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llamaner.corpus.schemes import split_tag
from llamaner.corpus.textfile import read_lines
from llamaner.errors import CorpusError, Problem

DOCSTART = "-DOCSTART-"

# So many rows show the layout of a file.
_PROBE = 5000
_BLANKS = re.compile("[ \t]+")
_DOCSTART_LINE = re.compile(rf"{DOCSTART}(?:[ \t]|$)")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a row's word and tag stand: ``width`` fields, ``separator`` a tab or a space."""

    separator: str
    width: int
    word: int
    tag: int | None

    @property
    def others(self) -> list[int]:
        """The columns that are neither word nor tag."""
        return [i for i in range(self.width) if i not in (self.word, self.tag)]


@dataclass(slots=True)
class RowSentence:
    """A sentence's rows, each a list of fields, with their line numbers and its comments."""

    rows: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)

    def column(self, index: int) -> list[str]:
        """One field of each row."""
        return [row[index] for row in self.rows]


@dataclass(slots=True)
class RowDocument:
    """A document's sentences, and its ``-DOCSTART-`` line where it has one."""

    docstart: str | None = None
    sentences: list[RowSentence] = field(default_factory=list)
    comments_at_end: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ConllFile:
    """A file's documents in rows. All rows have the layout's width, and words are not empty."""

    path: str
    layout: Layout
    documents: list[RowDocument]

    @property
    def sentences(self) -> Iterator[RowSentence]:
        """All sentences in order."""
        return (sentence for document in self.documents for sentence in document.sentences)


def read_rows(
    path: str | Path, *, word_column: int = 0, tag_column: int | None = -1
) -> tuple[ConllFile, list[Problem]]:
    """The rows of a file and what is wrong with them; rows at fault are left out.

    Raises ``CorpusError`` when there is nothing to go on: the file is missing, is not UTF-8,
    or lacks the columns asked for.
    """
    lines = read_lines(path)
    layout = _layout(lines, str(path), word_column, tag_column)
    builder = _Builder(str(path), layout)
    for number, line in enumerate(lines, start=1):
        builder.add(number, line)
    return builder.finish(), builder.problems


def split_row(line: str, separator: str) -> list[str]:
    """The fields of a line: between tabs, or between runs of blanks; nothing else separates."""
    if separator == "\t":
        return [part.strip(" ") for part in line.split("\t")]
    if "\t" in line or "  " in line:
        return _BLANKS.split(line.strip(" \t"))
    return line.strip(" ").split(" ")


def is_docstart(line: str, layout: Layout) -> bool:
    """Whether a line starts a document."""
    if DOCSTART not in line:
        return False
    fields = split_row(line, layout.separator)
    named = len(fields) > layout.word and fields[layout.word] == DOCSTART
    return named or _DOCSTART_LINE.match(line) is not None


def is_comment(line: str, layout: Layout) -> bool:
    """Whether a line is a comment: it begins with ``#``, and cannot be the row of such a word."""
    if not line.startswith("#"):
        return False
    fields = split_row(line, layout.separator)
    if len(fields) != layout.width:
        return True
    # Between tabs a row is a row even if its tag is wrong, so that the tag gets reported.
    return layout.separator == " " and layout.tag is not None and not _is_tag(fields[layout.tag])


class _Builder:
    def __init__(self, path: str, layout: Layout) -> None:
        self.path, self.layout = path, layout
        self.documents = [RowDocument()]
        self.sentence = RowSentence()
        self.problems: list[Problem] = []

    def add(self, number: int, line: str) -> None:
        if not line.strip(" \t"):
            self.end_sentence()
        elif is_docstart(line, self.layout):
            self.end_sentence()
            self.documents.append(RowDocument(line))
        elif is_comment(line, self.layout) and not self.may_be_a_hashtag(line):
            self.sentence.comments.append(line)
        else:
            self.add_row(number, split_row(line, self.layout.separator))

    def may_be_a_hashtag(self, line: str) -> bool:
        """Whether a line is rather a row at fault, within a sentence, than a comment on it."""
        return bool(self.sentence.rows) and not line.startswith("# ")

    def add_row(self, number: int, fields: list[str]) -> None:
        if len(fields) != self.layout.width:
            self.problems.append(self.wrong_width(number, len(fields)))
        elif not fields[self.layout.word]:
            advice = "put the word there, or leave the line blank to end the sentence"
            self.problems.append(Problem(self.path, number, "the word is empty", advice))
        else:
            self.sentence.rows.append(fields)
            self.sentence.lines.append(number)

    def wrong_width(self, number: int, width: int) -> Problem:
        found = f"{_columns(width)} where most lines have {self.layout.width}"
        if width > self.layout.width and self.layout.separator == " ":
            advice = "a word cannot hold a space unless tabs separate the columns"
        else:
            advice = "give every line the same columns, and a blank line between sentences"
        return Problem(self.path, number, found, advice)

    def end_sentence(self) -> None:
        # Comments wait for the words that they are about, across blank lines.
        if self.sentence.rows:
            self.documents[-1].sentences.append(self.sentence)
            self.sentence = RowSentence()

    def finish(self) -> ConllFile:
        self.end_sentence()
        if not self.documents[0].sentences:
            del self.documents[0]
        if self.documents:
            self.documents[-1].comments_at_end = self.sentence.comments
        return ConllFile(self.path, self.layout, self.documents)


def _layout(lines: Sequence[str], path: str, word_column: int, tag_column: int | None) -> Layout:
    content = [line for line in lines if line.strip(" \t") and not line.startswith(DOCSTART)]
    rows = ([line for line in content if not line.startswith("#")] or content)[:_PROBE]
    tabs = sum("\t" in line for line in rows)
    separator = "\t" if tabs * 2 > len(rows) else " "
    fields = [split_row(line, separator) for line in rows]
    if rows and rows[0].startswith("#") and tag_column is not None:
        # Words such as "#" and comments only: what has a tag is a row.
        fields = [row for row in fields if _has_tag(row, tag_column)] or fields
    widths = Counter(map(len, fields))
    width = widths.most_common(1)[0][0] if widths else 2
    word = _column(path, width, word_column, "word")
    tag = None if tag_column is None else _column(path, width, tag_column, "tag")
    if word == tag:
        found = f"{_columns(width)}, so column {word + 1} would be both word and tag"
        raise CorpusError([Problem(path, None, found, "give each word a tag on its line")])
    return Layout(separator, width, word, tag)


def _column(path: str, width: int, index: int, name: str) -> int:
    if not -width <= index < width:
        found = f"{_columns(width)}, but the {name} was said to be in column {index}"
        advice = "columns count from 0, or from the last one as -1"
        raise CorpusError([Problem(path, None, found, advice)])
    return index % width


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"


def _has_tag(fields: Sequence[str], tag_column: int) -> bool:
    return -len(fields) <= tag_column < len(fields) and _is_tag(fields[tag_column])


def _is_tag(text: str) -> bool:
    try:
        split_tag(text)
    except ValueError:
        return False
    return True
