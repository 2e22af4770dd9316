"""What people write: notes that go into a card, and cards that they edited."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub.repocard import RepoCard
from yaml import YAMLError

from llamaner.errors import ConfigurationError

_SIGNATURE = "<!-- written by llamaner, "


@dataclass(frozen=True, slots=True)
class Notes:
    """Markdown by hand, and fields for the front matter such as ``license``."""

    text: str = ""
    fields: dict[str, Any] = field(default_factory=dict)


def read_notes(path: Path) -> Notes:
    """Notes from a Markdown file, with or without YAML front matter.

    Raises ``ConfigurationError`` where it cannot be read.
    """
    try:
        text = path.read_text("utf-8-sig")
        card = RepoCard(text if text.lstrip().startswith("---") else f"---\n\n---\n{text}")
    except (OSError, ValueError, YAMLError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise ConfigurationError(f"{path}: no notes can be read from it ({reason})") from None
    fields: Any = card.data
    return Notes(card.text.strip(), fields.to_dict())


def signed(text: str) -> str:
    """The text with a last line that tells later whether anybody edited it."""
    return f"{text}{_SIGNATURE}{_digest(text)} -->\n"


def is_ours(path: Path) -> bool:
    """Whether a file is a card that nobody has edited since it was written."""
    try:
        text, found, signature = path.read_text("utf-8").rpartition(_SIGNATURE)
    except (OSError, UnicodeDecodeError):
        return False
    return bool(found) and signature == f"{_digest(text)} -->\n"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
