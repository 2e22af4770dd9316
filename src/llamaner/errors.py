"""What LlamaNER raises when the input, not the code, is at fault.

::

    LlamanerError
    ├── CorpusError          a corpus file that cannot be read; lists up to 20 problems
    ├── ConfigurationError   a setting that is unknown, mistyped or contradicts another
    ├── BackboneError        a LLaMA model that is missing, gated or loaded wrongly
    ├── StoreError           a feature store that is damaged, locked or has no room
    ├── CheckpointError      a training run that cannot be resumed
    └── TaggerError          a saved tagger that is missing, incomplete or does not fit

The command line prints these without a traceback and exits with status 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class LlamanerError(Exception):
    """Base of every error that a user can mend."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a corpus file.

    ``line`` counts from 1; ``None`` where the fault belongs to the whole file.
    ``found`` says what stands there, ``advice`` what to do about it.
    """

    path: str
    line: int | None
    found: str
    advice: str

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{place}: {self.found} ({self.advice})"


class CorpusError(LlamanerError):
    """A corpus that cannot be read; ``problems`` holds the first 20 of ``count``."""

    SHOWN = 20

    def __init__(self, problems: Sequence[Problem], count: int | None = None) -> None:
        self.problems = tuple(problems[: self.SHOWN])
        self.count = len(problems) if count is None else count
        lines = [str(problem) for problem in self.problems]
        if self.count > len(lines):
            lines.append(f"... and {self.count - len(lines)} more")
        super().__init__("\n".join(lines))


class ConfigurationError(LlamanerError):
    """A setting that is unknown, mistyped or contradicts another."""


class BackboneError(LlamanerError):
    """A LLaMA model that is missing, gated or loaded wrongly."""


class StoreError(LlamanerError):
    """A feature store that is damaged, locked or has no room."""


class CheckpointError(LlamanerError):
    """A training run that cannot be resumed."""


class TaggerError(LlamanerError):
    """A saved tagger that is missing, incomplete or does not fit."""
