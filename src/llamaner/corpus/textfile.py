"""Text files as lines: what is not UTF-8 text is named, with its line and what to do about it."""

from __future__ import annotations

import codecs
import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from llamaner.errors import CorpusError, Problem

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_FOREIGN_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def read_lines(path: str | Path) -> list[str]:
    """The lines of a UTF-8 file, without their line ends (LF or CRLF) and a byte-order mark.

    Only these end a line: U+2028, U+0085 and the like may be part of a word.
    Raises ``CorpusError`` when the file is missing, or names each line that is not UTF-8, or has a
    CR in it.
    """
    lines = decode_text(read_bytes(path), str(path)).replace("\r\n", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    found = "a CR without LF"
    advice = rf"end lines by LF: sed 's/\r$//' {path} | tr '\r' '\n'"
    if faults := [n for n, line in enumerate(lines, start=1) if "\r" in line]:
        raise CorpusError([Problem(str(path), number, found, advice) for number in faults])
    return lines


def decode_text(data: bytes, name: str) -> str:
    """UTF-8 text without a byte-order mark.

    Raises ``CorpusError`` naming each line of ``name`` that is not UTF-8.
    """
    _refuse_foreign(data, name)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CorpusError(_undecodable(data, name)) from None


def read_bytes(path: str | Path) -> bytes:
    """The content of a file. Raises ``CorpusError`` when it cannot be read."""
    path = Path(path)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise missing_file(path) from None
    except IsADirectoryError:
        advice = "name a file, or a folder that the datasets library can load"
        raise CorpusError([Problem(str(path), None, "this is a folder", advice)]) from None
    except OSError as error:
        found = f"cannot be read: {error.strerror or error}"
        raise CorpusError([Problem(str(path), None, found, "check the file")]) from None
    except ValueError:
        found = "a path cannot hold a NUL character"
        raise CorpusError([Problem(repr(str(path)), None, found, "mend the path")]) from None


def missing_file(path: Path) -> CorpusError:
    """The error for a path that does not exist, with the nearest names of its folder."""
    folder = path.parent
    if not folder.is_dir():
        return CorpusError([Problem(str(path), None, "no such file", f"there is no {folder}")])
    names = sorted(entry.name for entry in folder.iterdir())
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    advice = f"did you mean {' or '.join(near)}?" if near else "check the path"
    return CorpusError([Problem(str(path), None, "no such file", advice)])


@contextmanager
def open_target(target: str | Path | TextIO) -> Iterator[TextIO]:
    """A stream to write UTF-8 lines to: the file of that name, made anew, or the stream given.

    Raises ``CorpusError`` when the file cannot be written.
    """
    if not isinstance(target, str | Path):
        yield target
        return
    try:
        with open(target, "w", encoding="utf-8", newline="\n") as stream:
            yield stream
    except OSError as error:
        found = f"cannot be written: {error.strerror or error}"
        raise CorpusError([Problem(str(target), None, found, "choose another place")]) from None


def target_name(target: str | Path | TextIO) -> str:
    """What to call a target of ``open_target`` in an error."""
    return str(target if isinstance(target, str | Path) else getattr(target, "name", "output"))


def unwritable_characters(text: str) -> str | None:
    """What in ``text`` no line of a UTF-8 file can hold, in words; ``None`` if all can be held."""
    for character, name in (("\n", "a line break"), ("\r", "a line break"), ("\0", "a NUL")):
        if character in text:
            return name
    return surrogate(text)


def surrogate(text: str) -> str | None:
    """The first lone surrogate in ``text``, in words, or ``None``."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"half of a surrogate pair (U+{ord(text[error.start]):04X}) at {error.start}"
    return None


def _refuse_foreign(data: bytes, path: str) -> None:
    for mark, name in _FOREIGN_MARKS:
        if data.startswith(mark):
            advice = f"convert it: iconv -f {name} -t UTF-8 {path}"
            raise CorpusError([Problem(path, None, f"the file is {name}, not UTF-8", advice)])
    if (at := data.find(0)) >= 0:
        found = f"a NUL byte at byte {at}: this is a binary file, or UTF-16"
        advice = "give a text file in UTF-8"
        raise CorpusError([Problem(path, data.count(b"\n", 0, at) + 1, found, advice)])


def _undecodable(data: bytes, path: str) -> list[Problem]:
    problems, offset = [], 0
    for number, line in enumerate(data.split(b"\n"), start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            at = offset + error.start
            found = f"byte 0x{line[error.start]:02x} at byte {at} is not UTF-8"
            advice = "convert the file, as with iconv -f WINDOWS-1252 -t UTF-8"
            problems.append(Problem(path, number, found, advice))
        offset += len(line) + 1
    return problems
