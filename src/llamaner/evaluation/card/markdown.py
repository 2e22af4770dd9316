"""Text of others within Markdown: shown as it is, and never taken for markup."""

from __future__ import annotations

import re
import unicodedata

_MARKUP = re.compile(r"[\\`*_\[\]{}<>|~$&#@:!+=^]|(?<=www)\.", re.IGNORECASE)
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Markdown(str):
    """A text that is Markdown already."""

    __slots__ = ()


def plain(text: str) -> str:
    """The text on one line.

    Line breaks, control characters and those that turn the direction of writing become spaces;
    half of a surrogate pair becomes a question mark.
    """
    whole = text.encode("utf-8", "replace").decode()
    spaced = "".join(" " if _is_control(letter) else letter for letter in whole)
    return re.sub(r"\s+", " ", spaced)


def escaped(value: object) -> str:
    """``plain``, and nothing in it is markup, a link or a mention, also within a table."""
    if isinstance(value, Markdown):
        return value
    return _MARKUP.sub(r"\\\g<0>", plain(str(value)))


def _is_control(letter: str) -> bool:
    return letter in _DIRECTIONS or unicodedata.category(letter) in ("Cc", "Zl", "Zp")
