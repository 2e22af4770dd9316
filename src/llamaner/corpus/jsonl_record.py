"""One line of JSON as a document: its fields put together, and to words, where they fit."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from llamaner.corpus.jsonl_fields import (
    Fault,
    Gold,
    gold_of,
    id_of,
    nested_strings,
    parse,
    ranges_of,
    refuse,
    text_of,
    white_space_faults,
)
from llamaner.corpus.schemes import LabelSpan
from llamaner.corpus.segmentation import Range, cut_words, sentence_starts, word_spans
from llamaner.corpus.types import Document, Sentence

RESERVED = frozenset({"id", "text", "entities", "words", "sentences", "columns", "comments"})


def document_from_json(line: str, language: str) -> Document:
    """The document that a line describes.

    Raises ``RecordError`` when it describes none.
    """
    record = parse(line)
    text = text_of(record)
    faults: list[Fault] = []
    name = id_of(record, faults)
    key = _entities_key(record)
    faults += _misnamed_entities(record, key)
    gold = gold_of(record, key, text, faults)
    words = ranges_of(record, "words", text, faults)
    sentences = ranges_of(record, "sentences", text, faults)
    refuse(faults)
    if words is None:
        refuse(white_space_faults(text, gold))
        words = _segmented_words(text, gold, sentences, language)
    if sentences is None:
        sentences = _segmented_sentences(text, words, gold, language)
    refuse([*_unfit(words, sentences, gold), *_unfit_extras(record, words, sentences)])
    metadata = {name: value for name, value in record.items() if name not in RESERVED | {key}}
    return Document(text, _sentences(record, text, words, sentences, gold), name, metadata)


def _entities_key(record: dict[str, Any]) -> str:
    doccano = "entities" not in record and isinstance(record.get("label"), list)
    return "label" if doccano else "entities"


def _misnamed_entities(record: dict[str, Any], key: str) -> Iterator[Fault]:
    """A list of entities that would pass for metadata."""
    if key not in record:
        for name, value in record.items():
            if name not in RESERVED and isinstance(value, list) and any(map(_is_entity, value)):
                yield f"{name!r} looks like entities", 'call them "entities"'


def _is_entity(value: object) -> bool:
    if isinstance(value, dict):
        return {"start", "end"} <= value.keys()
    return isinstance(value, list) and [type(part) for part in value] == [int, int, str]


def _segmented_words(
    text: str, gold: Sequence[Gold], sentences: Sequence[Range] | None, language: str
) -> list[Range]:
    cuts = [cut for entity in gold for cut in (entity.start, entity.end)]
    cuts += [cut for sentence in sentences or () for cut in sentence]
    words = cut_words(word_spans(text, language), cuts)
    if sentences is None:
        return words
    return [word for word in words if _holder(sentences, *word) is not None]


def _segmented_sentences(
    text: str, words: Sequence[Range], gold: Sequence[Gold], language: str
) -> list[Range]:
    inside = {
        i
        for entity in gold
        for i in range(_index(words, entity.start) + 1, _index(words, entity.end))
    }
    starts = [i for i in sentence_starts(text, words, language) if i not in inside]
    return [(words[i][0], words[j - 1][1]) for i, j in pairwise([*starts, len(words)])]


def _unfit(
    words: Sequence[Range], sentences: Sequence[Range], gold: Sequence[Gold]
) -> Iterator[Fault]:
    starts, ends = {start for start, _ in words}, {end for _, end in words}
    for word in words:
        if _holder(sentences, *word) is None:
            yield f"word {list(word)} lies in no sentence", "let sentences begin and end with words"
    for entity in gold:
        if entity.start not in starts or entity.end not in ends:
            advice = "let words begin and end where entities do, or leave out the words"
            yield f"{entity} begins or ends inside a word", advice
        elif _holder(sentences, entity.start, entity.end) is None:
            advice = "let a sentence hold the whole entity, or leave out the sentences"
            yield f"{entity} lies in no sentence, or in more than one", advice


def _unfit_extras(
    record: dict[str, Any], words: Sequence[Range], sentences: Sequence[Range]
) -> Iterator[Fault]:
    columns, comments = record.get("columns"), record.get("comments")
    lengths = [_index(words, end) - _index(words, start) for start, end in sentences]
    if columns is not None and not (
        nested_strings(columns, 3)
        and len(columns) == len(lengths)
        and all(len(c) == n for cs, n in zip(columns, lengths, strict=True) for c in cs)
    ):
        yield '"columns" does not fit', "give each sentence a list of columns, a value a word"
    if comments is not None and not (nested_strings(comments, 2) and len(comments) == len(lengths)):
        yield '"comments" does not fit', "give each sentence a list of strings"


def _sentences(
    record: dict[str, Any],
    text: str,
    words: Sequence[Range],
    sentences: Sequence[Range],
    gold: Sequence[Gold],
) -> tuple[Sentence, ...]:
    columns = record.get("columns") or [()] * len(sentences)
    comments = record.get("comments") or [()] * len(sentences)
    made = []
    for bounds, rows, notes in zip(sentences, columns, comments, strict=True):
        sentence = _sentence(text, bounds, words, gold)
        if sentence.spans:
            rows = tuple(tuple(column) for column in rows)
            made.append(replace(sentence, columns=rows, comments=tuple(notes)))
    return tuple(made)


def _sentence(text: str, bounds: Range, words: Sequence[Range], gold: Sequence[Gold]) -> Sentence:
    start, end = bounds
    first, after = _index(words, start), _index(words, end)
    spans = tuple((s - start, e - start) for s, e in words[first:after])
    mine = gold[slice(*(bisect_left(gold, at, key=lambda e: e.start) for at in bounds))]
    covered = [
        LabelSpan(e.label, _index(words, e.start) - first, _index(words, e.end) - first)
        for e in mine
    ]
    sentence = Sentence(text[start:end], spans, start=start)
    entities = (sentence.entity(s, e.confidence) for s, e in zip(covered, mine, strict=True))
    return replace(sentence, entities=tuple(entities))


def _index(words: Sequence[Range], position: int) -> int:
    return bisect_left(words, position, key=lambda word: word[0])


def _holder(sentences: Sequence[Range], start: int, end: int) -> Range | None:
    i = bisect_right(sentences, start, key=lambda sentence: sentence[0]) - 1
    return sentences[i] if i >= 0 and end <= sentences[i][1] else None
