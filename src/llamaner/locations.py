"""Where LlamaNER keeps what it computes once."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``$LLAMANER_CACHE``, or ``llamaner`` in the user's cache folder."""
    if chosen := os.environ.get("LLAMANER_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "llamaner"
