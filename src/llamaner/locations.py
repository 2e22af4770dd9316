"""Where LlamaNER keeps what it computes once, and what it comes with."""

from __future__ import annotations

import os
from pathlib import Path

from llamaner.errors import ConfigurationError


def cache_folder() -> Path:
    """``$LLAMANER_CACHE``, or ``llamaner`` in the user's cache folder."""
    if chosen := os.environ.get("LLAMANER_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "llamaner"


def default_tagger() -> Path:
    """The folder of the tagger that is used where none is named.

    Raises ``ConfigurationError`` where there is none.
    """
    raise ConfigurationError("say which tagger: give the folder that `llamaner train` wrote")
