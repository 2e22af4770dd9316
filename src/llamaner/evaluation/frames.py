"""Dataclasses as pandas frames. pandas is imported when a frame is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from llamaner.errors import ConfigurationError

if TYPE_CHECKING:
    import pandas as pd

NEEDED = 'pip install "llamaner[report]"'


def frame(rows: Iterable[Mapping[str, Any]], columns: Iterable[str] | None = None) -> pd.DataFrame:
    """A frame with a row a mapping. Raises ``ConfigurationError`` where pandas is missing."""
    try:
        import pandas as pd
    except ImportError:
        raise ConfigurationError(f"frames need pandas: {NEEDED}") from None
    return pd.DataFrame(list(rows), columns=None if columns is None else list(columns))
