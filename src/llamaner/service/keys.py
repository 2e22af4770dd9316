"""API keys: where they come from, and how one is recognised."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable
from pathlib import Path

from llamaner.errors import ConfigurationError

VARIABLE = "LLAMANER_API_KEYS"
_SHORTEST = 16


class ApiKeys:
    """The keys that are let in; where there are none, everyone is.

    Only their SHA-256 digests are kept. All are compared, each in constant time, so that the time
    of an answer tells nothing about them.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def admit(self, authorization: str | None) -> bool:
        """Whether the value of an ``Authorization`` header holds one of the keys."""
        if not self:
            return True
        scheme, _, key = (authorization or "").partition(" ")
        found = _digest(key.strip())
        matches = [hmac.compare_digest(found, digest) for digest in self._digests]
        return any(matches) and scheme.lower() == "bearer"


def read_api_keys(file: Path | None) -> ApiKeys:
    """The keys in a file, one a line, and in the variable ``LLAMANER_API_KEYS``.

    Raises ``ConfigurationError`` where the file cannot be read, holds no key, or a key is too
    short or has characters that no header can carry.
    """
    keys = os.environ.get(VARIABLE, "").split(",")
    if file is not None:
        try:
            lines = file.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{file}: the API keys cannot be read ({error})") from None
        found = [line for line in lines if line.strip() and not line.startswith("#")]
        if not found:
            raise ConfigurationError(f"{file}: there is no API key in it; write one a line")
        keys += found
    kept = [key.strip() for key in keys if key.strip()]
    for number, key in enumerate(kept, 1):
        if len(key) < _SHORTEST or not (key.isascii() and key.isprintable()) or " " in key:
            raise ConfigurationError(
                f"API key {number} has less than {_SHORTEST} characters, or others than ASCII "
                "letters, digits and signs; `openssl rand -hex 32` makes a good one"
            )
    return ApiKeys(kept)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
