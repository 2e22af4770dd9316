"""Files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` in one step: a reader sees the old content or the new."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(data)
        _sync(part)
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def sync_files(folder: Path) -> None:
    """Have the files of a folder on disk, not only in memory."""
    for path in folder.iterdir():
        if path.is_file():
            _sync(path)


def _sync(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())
