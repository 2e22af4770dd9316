"""The feature store: frozen vectors, computed once and kept on disk."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from llamaner.backbone.backbone import Backbone, Vectors
from llamaner.backbone.shelf import Shelf, digest_of
from llamaner.errors import StoreError
from llamaner.locations import cache_folder
from llamaner.terminal import console, progress_bar

if TYPE_CHECKING:
    from accelerate import PartialState

    from llamaner.corpus import Sentence

_KEY = re.compile("[0-9a-f]{32}")


class Features(Sequence[Vectors]):
    """The vectors (T, L, D) of some sentences, memory-mapped and read when used."""

    def __init__(self, rows: Vectors, starts: npt.NDArray[np.int64], counts: Sequence[int]) -> None:
        self._rows, self._starts, self._counts = rows, starts, counts

    def part(self, start: int, end: int) -> Features:
        """The features of the sentences from ``start`` to ``end`` (exclusive)."""
        return Features(self._rows, self._starts[start:end], self._counts[start:end])

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            raise TypeError("features are read one sentence at a time")
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

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root).expanduser() if root else cache_folder() / "features"

    def features(
        self,
        backbone: Backbone,
        sentences: Sequence[Sentence],
        processes: PartialState | None = None,
    ) -> Features:
        """The vectors of ``sentences``, of which only those not yet stored are computed.

        Waits for another process that is adding to the same features. ``processes`` that all call
        it share the work; the folder must be the same for all. Raises ``StoreError`` where the
        disk has no room, or the folder cannot be written.
        """
        shape = (len(backbone.layers), backbone.width)
        shelf = Shelf(self.root / backbone.key, shape)
        with self._told_as_store_errors():
            if processes is not None and processes.num_processes > 1:
                self._compute_together(shelf, backbone, sentences, processes)
            return self._features(shelf, backbone, sentences)

    def _features(
        self, shelf: Shelf, backbone: Backbone, sentences: Sequence[Sentence]
    ) -> Features:
        digests = [digest_of(sentence) for sentence in sentences]
        found = shelf.find(digests)
        if len(found) < len(set(digests)):
            with self._adding(shelf, backbone):
                found = shelf.find(digests)
                missing = {d: s for d, s in zip(digests, sentences, strict=True) if d not in found}
                if missing:
                    self._compute(shelf, backbone, list(missing.values()))
                    found = shelf.find(digests)
        starts = np.array([found[digest] for digest in digests], dtype=np.int64)
        return Features(shelf.rows(), starts, [len(sentence) for sentence in sentences])

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
            freed += sum(file.stat().st_size for file in folder.iterdir())
            with self._told_as_store_errors(), _locked(folder):
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

    def _adding(self, shelf: Shelf, backbone: Backbone) -> ExitStack:
        """Hold the shelf's lock; wait, and say so, while another process has it."""
        shelf.folder.mkdir(parents=True, exist_ok=True)
        lock = _lock(shelf.folder)
        with ExitStack() as stack:
            try:
                stack.enter_context(lock.acquire(timeout=0))
            except Timeout:
                console.print(f"another process is adding to {shelf.folder}; waiting for it")
                stack.enter_context(lock.acquire())
            shelf.describe({"model": backbone.settings.model, **backbone.dependencies})
            return stack.pop_all()

    def _compute_together(
        self,
        shelf: Shelf,
        backbone: Backbone,
        sentences: Sequence[Sentence],
        processes: PartialState,
    ) -> None:
        """Each process computes a part; the first, which holds the lock, adds up the parts."""
        rank, count = processes.process_index, processes.num_processes
        with self._adding(shelf, backbone) if rank == 0 else nullcontext():
            if rank == 0:
                # Of a run that was killed.
                shelf.take_up_parts()
            processes.wait_for_everyone()
            missing = self._missing(shelf, sentences)
            if rank == 0 and missing:
                # What the others computed is on disk twice for a moment.
                shelf.require_room(2 * sum(len(sentence) for sentence in missing))
                console.print(f"{count} processes share {len(missing):,} sentences")
            processes.wait_for_everyone()
            if mine := missing[rank::count]:
                self._compute(shelf if rank == 0 else shelf.part(rank), backbone, mine)
            processes.wait_for_everyone()
            if rank == 0:
                shelf.take_up_parts()
            processes.wait_for_everyone()

    def _missing(self, shelf: Shelf, sentences: Sequence[Sentence]) -> Sequence[Sentence]:
        """What is not stored, each once, the longest first, so that parts take alike."""
        found = shelf.find([digest_of(sentence) for sentence in sentences])
        missing = {d: s for s in sentences if (d := digest_of(s)) not in found}
        return sorted(missing.values(), key=len, reverse=True)

    def _compute(self, shelf: Shelf, backbone: Backbone, sentences: Sequence[Sentence]) -> None:
        words = sum(len(sentence) for sentence in sentences)
        console.print(f"features to compute: {shelf.require_room(words)} in {shelf.folder}")
        with shelf.appending() as append, progress_bar("features (words)", words) as bar:
            for index, vectors in backbone.embed(sentences):
                append(digest_of(sentences[index]), vectors)
                bar.advance(len(vectors))
            # A sentence without words has no vectors, and is not given back by the backbone.
            for sentence in sentences:
                if not len(sentence):
                    append(digest_of(sentence), np.zeros((0, *shelf.shape), dtype=np.float16))


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
