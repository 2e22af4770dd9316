"""Settings that belong together, by name; what is given besides them wins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel

Preset = Literal["default", "fast", "accurate"]

PRESETS: Mapping[Preset, Mapping[str, Any]] = {
    "default": {},
    "fast": {
        "backbone": {"repeat": 0, "depth": 0.5, "pooling": "last"},
        "head": {"lstm_width": 256},
    },
    "accurate": {
        "adapt": "lora",
        "epochs": 6,
        "lora": {"dropout": 0.0},
        "backbone": {"repeat": 0, "attention": "bidirectional:upper", "pooling": "last"},
    },
}


def with_preset(preset: Preset, given: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` with the preset's values for what it does not name."""
    return _merged(PRESETS[preset], given)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**below, **above}
    for name, values in below.items():
        if not isinstance(values, Mapping) or name not in above:
            continue
        over = above[name]
        if isinstance(over, BaseModel):
            over = over.model_dump(exclude_unset=True)
        if isinstance(over, Mapping):
            merged[name] = _merged(values, over)
    return merged
