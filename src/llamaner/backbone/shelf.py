"""The files of a feature store.

``root/<key>/`` holds the features of one backbone as set up (``Backbone.key``):

``about.json``   what the key stands for, readable
``vectors``      float16 rows (N, L, D), one a word, appended
``index``        32 bytes a sentence, appended after its vectors: digest of text and word spans,
                 first row, number of rows, CRC-32 of the rows

``part-N/``      vectors and index of a process N that helps, until they are taken up

The process that appends holds ``root/<key>.lock``.

A process that is killed leaves at most vectors without an index entry, which the next one
overwrites. An entry whose CRC does not fit is computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from llamaner.errors import StoreError
from llamaner.files import replace_file

if TYPE_CHECKING:
    from llamaner.backbone.assembly import Vectors
    from llamaner.backbone.passages import Passage

ENTRY = np.dtype([("digest", "V16"), ("row", "<u8"), ("rows", "<u4"), ("crc", "<u4")])
_SYNC_BYTES = 64 << 20
_SPARE_BYTES = 256 << 20


class Shelf:
    """The files of one key; ``shape`` is (L, D)."""

    def __init__(self, folder: Path, shape: tuple[int, int]) -> None:
        self.folder, self.shape = folder, shape
        self._vectors, self._index = folder / "vectors", folder / "index"
        self._row_bytes = shape[0] * shape[1] * 2

    @classmethod
    def open(cls, folder: Path) -> Shelf:
        """The shelf in a folder that has been described."""
        about = read_about(folder)
        return cls(folder, (len(about["layers"]), about["width"]))

    def describe(self, about: Mapping[str, Any]) -> None:
        """Write what the key stands for; ``layers`` and ``width`` must be in it."""
        data = json.dumps(about, indent=2) + "\n"
        replace_file(self.folder / "about.json", data.encode())

    def about(self) -> dict[str, Any]:
        """What ``describe`` wrote."""
        return read_about(self.folder)

    def size(self) -> tuple[int, int, int]:
        """How many sentences and words are stored, and how many bytes that takes."""
        entries = self._entries()
        sentences = len(set(_as_bytes(entries["digest"])))
        occupied = sum(file.stat().st_size for file in self.folder.rglob("*"))
        return sentences, int(entries["rows"].sum()), occupied

    def rows(self) -> Vectors:
        """All vectors (N, L, D), memory-mapped."""
        count = self._row_count()
        if not count:
            return np.zeros((0, *self.shape), dtype=np.float16)
        return np.memmap(self._vectors, np.float16, "r", shape=(count, *self.shape))

    def find(self, digests: Sequence[bytes]) -> tuple[dict[bytes, int], Vectors]:
        """The first row of each sentence that is there and undamaged, and the rows that it counts.

        These stay what they are, whatever others do to the files meanwhile.
        """
        wanted, entries, rows = set(digests), self._entries(), self.rows()
        found: dict[bytes, int] = {}
        for digest, entry in zip(_as_bytes(entries["digest"]), entries, strict=True):
            if digest in wanted and _is_intact(entry, rows):
                found[digest] = int(entry["row"])
        return found, rows

    def drop_damaged(self) -> int:
        """Take damaged entries out of the index; how many there were."""
        entries, rows = self._entries(), self.rows()
        intact = np.array([_is_intact(entry, rows) for entry in entries], dtype=bool)
        if not intact.all():
            replace_file(self._index, entries[intact].tobytes())
        return int((~intact).sum())

    def require_room(self, words: int) -> str:
        """How much room ``words`` more take, in words.

        Raises ``StoreError`` where there is less.
        """
        needed = words * self._row_bytes
        free = shutil.disk_usage(self.folder).free
        layers, width = self.shape
        size = f"{words:,} words x {layers} layers x {width} x 2 bytes = {_readable(needed)}"
        if needed + _SPARE_BYTES > free:
            raise StoreError(
                f"{self.folder}: the features take {size}, and {_readable(free)} are free; make "
                "room, choose another folder with --store, or use fewer layers"
            )
        return size

    def part(self, number: int) -> Shelf:
        """A shelf for what another process computes, until ``take_up_parts``."""
        folder = self.folder / f"part-{number}"
        folder.mkdir(exist_ok=True)
        return Shelf(folder, self.shape)

    def take_up_parts(self) -> None:
        """Add what lies in parts, and remove them; hold the lock meanwhile."""
        for folder in sorted(self.folder.glob("part-*")):
            part = Shelf(folder, self.shape)
            entries, rows = part._entries(), part.rows()
            there = set(_as_bytes(self._entries()["digest"]))
            with self.appending() as append:
                for digest, entry in zip(_as_bytes(entries["digest"]), entries, strict=True):
                    if digest not in there and _is_intact(entry, rows):
                        start = int(entry["row"])
                        append(digest, rows[start : start + int(entry["rows"])])
            shutil.rmtree(folder)

    def appending(self) -> Appender:
        """Something to append vectors with; hold the lock meanwhile."""
        return Appender(self._vectors, self._index, self._end_of_rows(), self._row_bytes)

    def _entries(self) -> npt.NDArray[Any]:
        data = self._index.read_bytes() if self._index.exists() else b""
        return np.frombuffer(data[: len(data) // ENTRY.itemsize * ENTRY.itemsize], ENTRY)

    def _row_count(self) -> int:
        return self._vectors.stat().st_size // self._row_bytes if self._vectors.exists() else 0

    def _end_of_rows(self) -> int:
        """Where the next row goes: after the last that the index knows."""
        entries = self._entries()
        if not len(entries):
            return 0
        return min(int((entries["row"] + entries["rows"]).max()), self._row_count())


class Appender:
    """Appends vectors, then their index entries, so that an entry never points at nothing."""

    def __init__(self, vectors: Path, index: Path, row: int, row_bytes: int) -> None:
        self._vectors = _open_at(vectors, row * row_bytes)
        self._index = _open_at(index, _whole_entries(index))
        self._row = row
        self._pending: list[tuple[bytes, int, int, int]] = []
        self._pending_bytes = 0

    def __enter__(self) -> Appender:
        return self

    def __call__(self, digest: bytes, vectors: Vectors) -> None:
        """Append the vectors (T, L, D) of a sentence."""
        data = np.ascontiguousarray(vectors).tobytes()
        self._vectors.write(data)
        self._pending.append((digest, self._row, len(vectors), zlib.crc32(data)))
        self._row += len(vectors)
        self._pending_bytes += len(data)
        if self._pending_bytes >= _SYNC_BYTES:
            self._commit()

    def __exit__(self, *_: object) -> None:
        try:
            self._commit()
        finally:
            self._vectors.close()
            self._index.close()

    def _commit(self) -> None:
        _sync(self._vectors)
        self._index.write(np.array(self._pending, dtype=ENTRY).tobytes())
        _sync(self._index)
        self._pending.clear()
        self._pending_bytes = 0


def digest_of(passage: Passage) -> bytes:
    """16 bytes for the text and where its words lie."""
    spans = np.asarray(passage.spans, dtype="<i8").tobytes()
    text = passage.text.encode("utf-8", "surrogatepass")
    data = len(text).to_bytes(8, "little") + text + spans
    return hashlib.blake2b(data, digest_size=16).digest()


def _as_bytes(digests: npt.NDArray[Any]) -> list[bytes]:
    data = digests.tobytes()
    return [data[i : i + 16] for i in range(0, len(data), 16)]


def _is_intact(entry: Any, rows: Vectors) -> bool:
    start, count = int(entry["row"]), int(entry["rows"])
    if start + count > len(rows):
        return False
    return zlib.crc32(rows[start : start + count].tobytes()) == int(entry["crc"])


def read_about(folder: Path) -> dict[str, Any]:
    """What a key stands for. Raises ``StoreError`` where it cannot be read."""
    try:
        about: dict[str, Any] = json.loads((folder / "about.json").read_text())
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{folder}/about.json: cannot be read ({error}); delete the folder"
        ) from error
    return about


def _open_at(path: Path, size: int) -> BinaryIO:
    """``path``, cut to ``size`` bytes and open for appending."""
    file = path.open("r+b" if path.exists() else "w+b")
    file.truncate(size)
    file.seek(size)
    return file


def _whole_entries(index: Path) -> int:
    size = index.stat().st_size if index.exists() else 0
    return size // ENTRY.itemsize * ENTRY.itemsize


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _readable(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
