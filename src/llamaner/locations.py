"""Where LlamaNER keeps what it computes once, and where users say that things lie."""

from __future__ import annotations

import os
from pathlib import Path

from llamaner.errors import ConfigurationError


def cache_folder() -> Path:
    """``$LLAMANER_CACHE``, or ``llamaner`` in the user's cache folder."""
    if chosen := os.environ.get("LLAMANER_CACHE"):
        return from_home(chosen)
    return from_home(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "llamaner"


def from_home(path: str | Path) -> Path:
    """``path`` with a leading ``~`` or ``~user`` in full.

    Raises ``ConfigurationError`` for a user that the machine does not have.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigurationError(f"{path}: there is no such user on this machine") from None
