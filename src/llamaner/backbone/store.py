"""The feature store: frozen vectors, computed once and kept on disk."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from llamaner.backbone.assembly import Vectors
from llamaner.backbone.backbone import Backbone
from llamaner.backbone.shelf import Shelf, digest_of
from llamaner.configuration import BackboneSettings
from llamaner.errors import StoreError
from llamaner.locations import cache_folder, from_home
from llamaner.terminal import console, progress_bar

if TYPE_CHECKING:
    from accelerate import PartialState

    from llamaner.backbone.passages import Passage
    from llamaner.corpus import Document

_KEY = re.compile("[0-9a-f]{32}")


class Reader(Protocol):
    """Whatever makes rows of vectors (L, D) of passages, the same for the same ``key``."""

    @property
    def settings(self) -> BackboneSettings:
        """Which model it reads with."""

    @property
    def layers(self) -> tuple[int, ...]:
        """The L layers of a row."""

    @property
    def width(self) -> int:
        """D."""

    @property
    def dependencies(self) -> dict[str, Any]:
        """Everything but the text that changes the vectors."""

    @property
    def key(self) -> str:
        """The ``dependencies`` in 32 hexadecimal digits."""

    def counts(self, passages: Sequence[Passage]) -> Sequence[int]:
        """How many rows each passage has."""

    def embed(self, passages: Sequence[Passage]) -> Iterator[tuple[int, Vectors]]:
        """The index and the rows of each passage that has words."""


class Features(Sequence[Vectors]):
    """The vectors (T, L, D) of some passages, memory-mapped and read when used."""

    def __init__(self, rows: Vectors, starts: npt.NDArray[np.int64], counts: Sequence[int]) -> None:
        self._rows, self._starts, self._counts = rows, starts, counts

    def part(self, start: int, end: int) -> Features:
        """The features of the passages from ``start`` to ``end`` (exclusive)."""
        return Features(self._rows, self._starts[start:end], self._counts[start:end])

    def divided(self, counts: Sequence[int]) -> Features:
        """The same vectors in other parts, as the words of passages into those of sentences."""
        places = np.concatenate(
            [np.arange(s, s + c) for s, c in zip(self._starts, self._counts, strict=True)]
            or [np.zeros(0, dtype=np.int64)]
        )
        firsts = np.cumsum([0, *counts[:-1]]) if counts else np.zeros(0, dtype=np.int64)
        # A part without words may begin where the places end.
        starts = np.append(places, 0)[firsts]
        return Features(self._rows, starts.astype(np.int64), counts)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            raise TypeError("features are read one passage at a time")
        start = self._starts[index]
        return self._rows[start : start + self._counts[index]]


@dataclass(frozen=True, slots=True)
class StoreReport:
    """One entry of ``llamaner store list``: sizes in sentences, words (rows) and bytes."""

    key: str
    path: str
    model: str
    sentences: int
    words: int
    bytes: int
    layers: list[int]
    repeat: int
    pooling: str
    precision: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


class FeatureStore:
    """Features on disk, under ``root`` (by default in the user's cache folder)."""

    def __init__(
        self, root: Path | str | None = None, processes: PartialState | None = None
    ) -> None:
        """``processes`` that all use the store share its work; ``root`` is the same for all."""
        self.root = from_home(root) if root else cache_folder() / "features"
        self.processes = processes

    def document_features(self, backbone: Backbone, documents: Sequence[Document]) -> Features:
        """The vectors of the documents' sentences, in order, each read in its context."""
        passages = backbone.passages(documents)
        lengths = [len(sentence) for document in documents for sentence in document.sentences]
        return self.features(backbone, passages).divided(lengths)

    def features(self, reader: Reader, passages: Sequence[Passage]) -> Features:
        """The vectors of ``passages``, of which only those not yet stored are computed.

        Waits for another process that is adding to the same features. Raises ``StoreError``
        where the disk has no room, or the folder cannot be written.
        """
        shape = (len(reader.layers), reader.width)
        shelf = Shelf(self.root / reader.key, shape)
        with self._told_as_store_errors():
            if self.processes is not None and self.processes.num_processes > 1:
                self._compute_together(shelf, reader, passages, self.processes)
            return self._features(shelf, reader, passages)

    def _features(self, shelf: Shelf, reader: Reader, passages: Sequence[Passage]) -> Features:
        digests = [digest_of(passage) for passage in passages]
        found, rows = shelf.find(digests)
        if len(found) < len(set(digests)):
            with self._adding(shelf, reader):
                found, rows = shelf.find(digests)
                missing = {d: p for d, p in zip(digests, passages, strict=True) if d not in found}
                if missing:
                    self._compute(shelf, reader, list(missing.values()))
                    found, rows = shelf.find(digests)
        starts = np.array([found[digest] for digest in digests], dtype=np.int64)
        return Features(rows, starts, reader.counts(passages))

    def list(self) -> list[StoreReport]:
        """What is stored, the largest first."""
        with self._told_as_store_errors():
            reports = [_report(Shelf.open(folder)) for folder in self._folders()]
        return sorted(reports, key=lambda report: -report.bytes)

    def verify(self) -> dict[str, int]:
        """How many entries of each key are damaged; they are dropped, to be computed anew."""
        damaged = {}
        for folder in self._folders():
            with self._told_as_store_errors(), _locked(folder):
                damaged[folder.name] = Shelf.open(folder).drop_damaged()
        return damaged

    def clear(self, key: str | None = None) -> int:
        """Delete the features of a key (or its beginning), or all; the number of bytes freed.

        Raises ``StoreError`` where no key begins so, or a process is adding to it.
        """
        folders = [f for f in self._folders() if key is None or f.name.startswith(key)]
        if key is not None and (not key or not folders):
            raise StoreError(f"{self.root}: no features with a key that begins with {key!r}")
        freed = 0
        for folder in folders:
            with self._told_as_store_errors(), _locked(folder):
                freed += sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
                shutil.rmtree(folder)
        return freed

    def _folders(self) -> Iterator[Path]:
        if self.root.is_dir():
            yield from sorted(
                folder
                for folder in self.root.iterdir()
                if _KEY.fullmatch(folder.name) and (folder / "about.json").is_file()
            )

    @contextmanager
    def _told_as_store_errors(self) -> Iterator[None]:
        """Tell of folders that cannot be used, and of disks that are full, as ``StoreError``."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise StoreError(f"{error.filename or self.root}: {reason}; see --store") from error

    def _adding(self, shelf: Shelf, reader: Reader) -> ExitStack:
        """Hold the shelf's lock; wait, and say so, while another process has it."""
        self.root.mkdir(parents=True, exist_ok=True)
        lock = _lock(shelf.folder)
        with ExitStack() as stack:
            try:
                stack.enter_context(lock.acquire(timeout=0))
            except Timeout:
                console.print(f"another process is adding to {shelf.folder}; waiting for it")
                stack.enter_context(lock.acquire())
            shelf.folder.mkdir(exist_ok=True)
            shelf.describe({"model": reader.settings.model, **reader.dependencies})
            # Of a run of several processes that was killed.
            shelf.take_up_parts()
            return stack.pop_all()

    def _compute_together(
        self,
        shelf: Shelf,
        reader: Reader,
        passages: Sequence[Passage],
        processes: PartialState,
    ) -> None:
        """Each process computes a part; the first, which holds the lock, adds up the parts."""
        rank, count = processes.process_index, processes.num_processes
        with self._adding(shelf, reader) if rank == 0 else nullcontext():
            processes.wait_for_everyone()
            missing = _missing(shelf, passages)
            if rank == 0 and missing:
                # What the others computed is on disk twice for a moment.
                shelf.require_room(2 * sum(reader.counts(missing)))
                console.print(f"{count} processes share {len(missing):,} passages")
            processes.wait_for_everyone()
            if mine := missing[rank::count]:
                self._compute(shelf if rank == 0 else shelf.part(rank), reader, mine)
            processes.wait_for_everyone()
            if rank == 0:
                shelf.take_up_parts()
            processes.wait_for_everyone()

    def _compute(self, shelf: Shelf, reader: Reader, passages: Sequence[Passage]) -> None:
        rows = sum(reader.counts(passages))
        console.print(f"features to compute: {shelf.require_room(rows)} in {shelf.folder}")
        with shelf.appending() as append, progress_bar("features (words)", rows) as bar:
            for index, vectors in reader.embed(passages):
                append(digest_of(passages[index]), vectors)
                bar.advance(len(vectors))
            # A passage without words has no vectors, and is not given back by the reader.
            for passage in passages:
                if not len(passage):
                    append(digest_of(passage), np.zeros((0, *shelf.shape), dtype=np.float16))


def _missing(shelf: Shelf, passages: Sequence[Passage]) -> Sequence[Passage]:
    """What is not stored, each once, the longest first, so that shares take alike."""
    found, _ = shelf.find([digest_of(passage) for passage in passages])
    missing = {d: p for p in passages if (d := digest_of(p)) not in found}
    return sorted(missing.values(), key=len, reverse=True)


def _report(shelf: Shelf) -> StoreReport:
    about = shelf.about()
    sentences, words, occupied = shelf.size()
    return StoreReport(
        key=shelf.folder.name,
        path=str(shelf.folder),
        model=about["model"],
        sentences=sentences,
        words=words,
        bytes=occupied,
        layers=about["layers"],
        repeat=about["repeat"],
        pooling=about["pooling"],
        precision=about["precision"],
    )


def _lock(folder: Path) -> FileLock:
    """The lock lies beside the folder, so that it outlives ``clear``."""
    return FileLock(folder.with_suffix(".lock"))


def _locked(folder: Path) -> Any:
    try:
        return _lock(folder).acquire(timeout=0)
    except Timeout:
        raise StoreError(f"{folder}: another process is adding to it; try again later") from None
