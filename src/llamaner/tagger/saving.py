"""A tagger on disk: ``config.json`` and ``model.safetensors``, nothing pickled.

The backbone is not in it: its name, settings and fingerprint are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from llamaner.configuration import BackboneSettings, HeadSettings
from llamaner.errors import TaggerError

CONFIG, WEIGHTS = "config.json", "model.safetensors"


class TaggerConfig(BaseModel):
    """Everything of a tagger but its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["llamaner-1"] = "llamaner-1"
    labels: tuple[str, ...]
    language: str = "en"
    backbone: BackboneSettings
    backbone_fingerprint: str
    layers: tuple[int, ...]
    width: int
    head: HeadSettings
    alphabet: tuple[str, ...]
    training: dict[str, Any] = {}
    """What is known of the run: data, seed, epochs, dev scores."""


def write_tagger(folder: Path, config: TaggerConfig, weights: Mapping[str, Tensor]) -> None:
    """Write both files; each is replaced in one step, so that a power cut leaves whole files.

    Raises ``TaggerError`` where the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        _replace(folder / WEIGHTS, safetensors.torch.save(tensors, metadata={"format": "pt"}))
        _replace(folder / CONFIG, (config.model_dump_json(indent=2) + "\n").encode())
    except OSError as error:
        raise TaggerError(f"{folder}: the tagger cannot be saved ({error.strerror})") from error


def read_tagger(folder: Path) -> tuple[TaggerConfig, dict[str, Tensor]]:
    """What ``write_tagger`` wrote.

    Raises ``TaggerError`` where a file is missing, damaged or of another format.
    """
    if not folder.is_dir():
        raise TaggerError(f"{folder}: no such folder; give one that `llamaner train` wrote")
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise TaggerError(f"{folder}: not a tagger, it lacks {name}")
    try:
        config = TaggerConfig.model_validate(json.loads((folder / CONFIG).read_text("utf-8")))
    except (ValueError, ValidationError) as error:
        reason = "; ".join(str(error).splitlines()[:3])
        raise TaggerError(f"{folder / CONFIG}: not a tagger's description ({reason})") from None
    try:
        weights = safetensors.torch.load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise TaggerError(f"{folder / WEIGHTS}: damaged ({error}); copy it again") from None
    return config, weights


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
