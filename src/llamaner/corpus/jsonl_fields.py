"""The fields of one line of JSON, checked: faults are gathered, not raised one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeGuard

from llamaner.corpus.segmentation import Range
from llamaner.corpus.textfile import surrogate

Fault = tuple[str, str]

# A run of escapes from the surrogate range, where an even number of backslashes comes before.
_SURROGATE_ESCAPES = re.compile(r"(?<!\\)(?:\\\\)*((?:\\u[dD][89a-fA-F][0-9a-fA-F]{2})+)")


class RecordError(ValueError):
    """What is wrong with a line: pairs of what was found and what to do."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(found for found, _ in faults))


@dataclass(frozen=True, slots=True)
class Gold:
    """An entity as the line has it, before it is known which words it covers."""

    start: int
    end: int
    label: str
    confidence: float | None

    def __str__(self) -> str:
        return f"{self.label} at {self.start}:{self.end}"


def refuse(faults: Sequence[Fault]) -> None:
    """Raise ``RecordError`` if there are any."""
    if faults:
        raise RecordError(faults)


def parse(line: str) -> dict[str, Any]:
    """The object that a line is. Raises ``RecordError`` when it is none."""
    advice = 'write one object a line, as {"text": "...", "entities": []}'
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        found = f"not JSON at column {error.colno}: {error.msg}"
        raise RecordError([(found, advice)]) from None
    except (ValueError, RecursionError) as error:
        raise RecordError([(f"not JSON that can be read: {error}", advice)]) from None
    if not isinstance(record, dict):
        if line.lstrip().startswith("["):
            advice += "; jq -c '.[]' makes such lines of a list"
        raise RecordError([(f"{_kind(record)} as JSON, not an object", advice)])
    if half := _surrogate_in(line):
        raise RecordError([(half, "write the character itself, in UTF-8")])
    return record


def _surrogate_in(line: str) -> str | None:
    # Only an escape can bring one in: the file itself is UTF-8.
    escapes = _SURROGATE_ESCAPES.findall(line)
    half = surrogate("".join(json.loads(f'"{run}"') for run in escapes)) if escapes else None
    return half and half.split(" at ")[0]


def _kind(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "a boolean", dict: "an object"}
    return "null" if value is None else names.get(type(value), "a number")


def text_of(record: dict[str, Any]) -> str:
    """The text. Raises ``RecordError`` without one: nothing else could be judged."""
    text = record.get("text")
    if isinstance(text, str):
        return text
    found = f'"text" is {_kind(text)}' if "text" in record else 'there is no "text"'
    raise RecordError([(found, 'give the text as a string under "text"')])


def id_of(record: dict[str, Any], faults: list[Fault]) -> str:
    """The document's name, or an empty one."""
    value = record.get("id")
    if value is None:
        return ""
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    faults.append((f'"id" is {_kind(value)}', "give a string or a whole number"))
    return ""


def gold_of(record: dict[str, Any], key: str, text: str, faults: list[Fault]) -> list[Gold]:
    """The entities under ``key`` in order; those that overlap are faults."""
    values = record.get(key)
    if values is None:
        return []
    if not isinstance(values, list):
        faults.append((f'"{key}" is {_kind(values)}', "give a list of objects"))
        return []
    found = (_entity(value, text, faults) for value in values)
    gold = sorted((e for e in found if e is not None), key=lambda e: (e.start, e.end))
    for before, after in pairwise(gold):
        if after.start < before.end:
            advice = "keep one of them: entities may not overlap or nest"
            faults.append((f"entities {before} and {after} overlap", advice))
    return gold


def _entity(value: object, text: str, faults: list[Fault]) -> Gold | None:
    if isinstance(value, list) and len(value) == 3:
        value = dict(zip(("start", "end", "label"), value, strict=True))
    if not isinstance(value, dict):
        advice = 'write {"start": 0, "end": 3, "label": "PER"} or [0, 3, "PER"]'
        faults.append((f"an entity is {_short(value)}", advice))
        return None
    label, confidence = value.get("label"), value.get("confidence")
    here: list[Fault] = []
    if not isinstance(label, str) or not label.strip():
        here.append((f"an entity has the label {_short(label)}", 'name it, as "label": "PER"'))
    if not _is_probability(confidence):
        found = f"an entity has the confidence {_short(confidence)}"
        here.append((found, "give a number from 0 to 1, or leave it out"))
    bounds = _bounds(value.get("start"), value.get("end"), text, "entity", here)
    if bounds and value.get("text") is not None and text[slice(*bounds)] != value["text"]:
        here.append(_mismatch(text, bounds, value["text"]))
    faults += here
    if here or bounds is None:
        return None
    return Gold(*bounds, str(label), None if confidence is None else float(confidence))


def _is_probability(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _bounds(start: object, end: object, text: str, name: str, faults: list[Fault]) -> Range | None:
    whole = type(start) is int and type(end) is int
    if whole and 0 <= start < end <= len(text):  # type: ignore[operator]
        return start, end  # type: ignore[return-value]
    found = f"{name} from {_short(start)} to {_short(end)} in a text of length {len(text)}"
    faults.append((found, "start and end are whole numbers, 0 <= start < end <= length"))
    return None


def _mismatch(text: str, bounds: Range, expected: object) -> Fault:
    start, end = bounds
    found = f"text[{start}:{end}] is {_short(text[start:end])}, not {_short(expected)}"
    at = text.find(expected) if isinstance(expected, str) and expected else -1
    if at < 0:
        return found, "offsets count Unicode code points of the text"
    length = len(str(expected))
    return found, f"offsets count code points: it stands at {at}:{at + length}"


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def ranges_of(
    record: dict[str, Any], key: str, text: str, faults: list[Fault]
) -> list[Range] | None:
    """The pairs under ``key``, in order and apart from each other; ``None`` without the key."""
    values = record.get(key)
    if values is None:
        return None
    if not isinstance(values, list) or not all(isinstance(v, list) and len(v) == 2 for v in values):
        faults.append((f'"{key}" is not a list of pairs', "give [[start, end], ...] or nothing"))
        return None
    name = key.removesuffix("s")
    found = [_bounds(start, end, text, name, faults) for start, end in values]
    ranges = [bounds for bounds in found if bounds is not None]
    for before, after in pairwise(ranges):
        if after[0] < before[1]:
            advice = f"give the {key} in order, apart from each other"
            faults.append((f"{name} {list(after)} begins before {list(before)} ends", advice))
    return ranges


def white_space_faults(text: str, gold: Iterable[Gold]) -> list[Fault]:
    """Entities that begin or end with white space, which no word of a segmented text does."""
    faults = []
    for entity in gold:
        covered = text[entity.start : entity.end]
        kept = covered.strip()
        if not kept:
            faults.append((f"{entity} covers white space only", "remove it"))
        elif kept != covered:
            start = entity.start + covered.index(kept)
            advice = f"narrow it to {start}:{start + len(kept)}"
            faults.append((f"{entity} begins or ends with white space", advice))
    return faults


def nested_strings(value: object, depth: int) -> TypeGuard[list[Any]]:
    """Whether a value is lists of lists of strings, so many lists deep."""
    if depth == 0:
        return isinstance(value, str)
    return isinstance(value, list) and all(nested_strings(item, depth - 1) for item in value)
