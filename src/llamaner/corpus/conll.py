"""CoNLL columns: one word a line with its tag, a blank line after each sentence.

The separator (tabs, or runs of blanks) and the scheme (IOB1, BIO, BIOES or BILOU) are recognised;
``-DOCSTART-`` lines start documents, and a file without any is one document. Further columns and
comments are kept with their sentences, a ``-DOCSTART-`` line as it stands in the document's
``metadata["docstart"]``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from llamaner.corpus.conll_rows import (
    DOCSTART,
    ConllFile,
    Layout,
    RowDocument,
    RowSentence,
    is_comment,
    is_docstart,
    read_rows,
)
from llamaner.corpus.schemes import LabelSpan, Scheme, decode, recognise, split_tag
from llamaner.corpus.textfile import open_target, target_name, unwritable_characters
from llamaner.corpus.types import Corpus, Document, Sentence
from llamaner.errors import CorpusError, Problem

_AT_END = "comments_at_end"


def read_conll(path: str | Path, *, word_column: int = 0, tag_column: int | None = -1) -> Corpus:
    """The corpus in a file of columns.

    Columns count from 0, or from the last one as -1; ``tag_column=None`` reads words alone.
    Tags are read as leniently as conlleval reads them.
    Raises ``CorpusError`` with all lines at fault.
    """
    file, problems = read_rows(path, word_column=word_column, tag_column=tag_column)
    return corpus_from_rows(file, problems)


def corpus_from_rows(file: ConllFile, problems: Sequence[Problem] = ()) -> Corpus:
    """The corpus that rows hold.

    Raises ``CorpusError`` when ``problems`` were found before, or the tags have any.
    """
    tagged = file.layout.tag is not None
    faults = [*problems, *_tag_problems(file)]
    scheme = None if faults or not tagged else recognise(_tags(file))
    if scheme == "BIO" or scheme == "IOB1":
        faults += _foreign_tags(file, scheme)
    if faults:
        raise CorpusError(sorted(faults, key=lambda problem: problem.line or 0))
    documents = [_document(document, file.layout, scheme) for document in file.documents]
    return Corpus(tuple(documents), scheme)


def write_conll(
    corpus: Corpus,
    target: str | Path | TextIO,
    *,
    scheme: Scheme | None = None,
    separator: str = " ",
    word_column: int = 0,
    tag_column: int = -1,
) -> None:
    """Write a corpus in columns: the word, its further columns, its tag.

    ``scheme`` is that of the corpus unless given, or BIO. Documents begin with ``-DOCSTART-``,
    but for a lone one that had none.
    Raises ``CorpusError`` when the file could not be read back, as when a word holds a space
    and ``separator`` is one; ``ValueError`` when sentences have different numbers of columns.
    """
    layout = _target_layout(corpus, separator, word_column, tag_column)
    problems = [
        Problem(target_name(target), None, found, advice)
        for sentence in corpus.sentences
        for found, advice in _unwritable(sentence, layout)
    ]
    if problems:
        raise CorpusError(problems)
    with open_target(target) as stream:
        lines = _corpus_lines(corpus, layout, scheme or corpus.scheme or "BIO")
        first = next(lines, "")
        # The reader takes one mark off; a word that begins with it needs a second.
        stream.write("\ufeff" + first if first.startswith("\ufeff") else first)
        stream.writelines(lines)


def _tags(file: ConllFile) -> Iterator[list[str]]:
    tag = file.layout.tag
    return (sentence.column(tag) for sentence in file.sentences) if tag is not None else iter(())


def _tag_problems(file: ConllFile) -> Iterator[Problem]:
    for sentence, tags in zip(file.sentences, _tags(file), strict=False):
        for line, tag in zip(sentence.lines, tags, strict=True):
            try:
                split_tag(tag)
            except ValueError as error:
                advice = "mend the tag, or say which column holds the tags"
                yield Problem(file.path, line, str(error), advice)


def _foreign_tags(file: ConllFile, scheme: Scheme) -> Iterator[Problem]:
    for sentence, tags in zip(file.sentences, _tags(file), strict=True):
        for line, tag in zip(sentence.lines, tags, strict=True):
            if split_tag(tag)[0] in "ES":
                found = f"{tag!r} is not a tag of {scheme}, which fits the file best"
                yield Problem(file.path, line, found, "use one scheme in the whole file")


def _document(document: RowDocument, layout: Layout, scheme: Scheme | None) -> Document:
    metadata: dict[str, Any] = {}
    if document.docstart is not None:
        metadata["docstart"] = document.docstart
    if document.comments_at_end:
        metadata[_AT_END] = document.comments_at_end
    sentences = [_sentence(sentence, layout, scheme) for sentence in document.sentences]
    made = Document.from_sentences(sentences)
    return replace(made, metadata=metadata, coherent=document.docstart is not None)


def _sentence(sentence: RowSentence, layout: Layout, scheme: Scheme | None) -> Sentence:
    spans: list[LabelSpan] = []
    if scheme is not None and layout.tag is not None:
        spans = decode(sentence.column(layout.tag), scheme)
    return Sentence.from_words(
        sentence.column(layout.word),
        spans,
        columns=[sentence.column(i) for i in layout.others],
        comments=sentence.comments,
    )


def _target_layout(corpus: Corpus, separator: str, word_column: int, tag_column: int) -> Layout:
    if separator not in (" ", "\t"):
        raise ValueError(f"separator is {separator!r}: expected a space or a tab")
    widths = {len(sentence.columns) for sentence in corpus.sentences} or {0}
    if len(widths) > 1:
        raise ValueError(f"sentences have different numbers of further columns: {sorted(widths)}")
    width = widths.pop() + 2
    word, tag = range(width)[word_column], range(width)[tag_column]
    if word == tag:
        raise ValueError(f"word and tag would both be column {word}")
    return Layout(separator, width, word, tag)


def _unwritable(sentence: Sentence, layout: Layout) -> Iterator[tuple[str, str]]:
    for word in sentence.words:
        if word == DOCSTART:
            yield f"the word {DOCSTART} would start a document", "write it in another way"
    labels = [entity.label for entity in sentence.entities]
    for text in (*sentence.words, *labels, *(v for column in sentence.columns for v in column)):
        if fault := _field_fault(text, layout.separator):
            yield f"{text!r} {fault}", "mend it, or write tabs between the columns, or JSONL"
    for comment in sentence.comments:
        if not _is_writable(comment, layout):
            yield f"{comment!r} would not be read as a comment", "begin it with # and words"


def _field_fault(text: str, separator: str) -> str | None:
    if fault := unwritable_characters(text):
        return f"holds {fault}"
    if separator == " ":
        return "is empty or holds a blank" if not text or " " in text or "\t" in text else None
    if "\t" in text:
        return "holds a tab"
    return "begins or ends with a space" if text != text.strip(" ") else None


def _corpus_lines(corpus: Corpus, layout: Layout, scheme: Scheme) -> Iterator[str]:
    written_so = any("docstart" in document.metadata for document in corpus.documents)
    for i, document in enumerate(corpus.documents):
        docstart = document.metadata.get("docstart")
        # What stands before the first -DOCSTART- of a file is a document without one.
        bare = i == 0 and document.sentences and (written_so or len(corpus) == 1)
        if isinstance(docstart, str) and _starts_document(docstart, layout):
            yield f"{docstart}\n\n"
        elif not bare:
            yield f"{_default_docstart(layout)}\n\n"
        for sentence in document.sentences:
            yield from _sentence_lines(sentence, layout, scheme)
        yield from (f"{comment}\n" for comment in _comments_at_end(document, layout))


def _comments_at_end(document: Document, layout: Layout) -> list[str]:
    # Metadata may come from another format, where these are just keys like any other.
    comments = document.metadata.get(_AT_END)
    if not isinstance(comments, list):
        return []
    return [line for line in comments if isinstance(line, str) and _is_writable(line, layout)]


def _is_writable(comment: str, layout: Layout) -> bool:
    fault = unwritable_characters(comment)
    return not fault and is_comment(comment, layout) and not is_docstart(comment, layout)


def _starts_document(line: str, layout: Layout) -> bool:
    return not unwritable_characters(line) and is_docstart(line, layout)


def _default_docstart(layout: Layout) -> str:
    fields = ["-X-"] * layout.width
    fields[layout.word] = DOCSTART
    if layout.tag is not None:
        fields[layout.tag] = "O"
    return layout.separator.join(fields)


def _sentence_lines(sentence: Sentence, layout: Layout, scheme: Scheme) -> Iterator[str]:
    columns: list[Sequence[str]] = [()] * layout.width
    columns[layout.word] = sentence.words
    if layout.tag is not None:
        columns[layout.tag] = sentence.tags(scheme)
    for i, column in zip(layout.others, sentence.columns, strict=True):
        columns[i] = column
    yield from (f"{comment}\n" for comment in sentence.comments)
    yield from (layout.separator.join(row) + "\n" for row in zip(*columns, strict=True))
    if sentence.spans:
        yield "\n"
