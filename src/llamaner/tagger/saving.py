"""A tagger on disk: ``config.json`` and ``model.safetensors``, nothing pickled.

The backbone is not in it: its name, settings and fingerprint are, and its adapter where it has one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from llamaner.backbone import Adapter
from llamaner.configuration import BackboneSettings, HeadSettings, LoraSettings
from llamaner.errors import TaggerError
from llamaner.files import replace_file

CONFIG, WEIGHTS = "config.json", "model.safetensors"
_ADAPTER = "adapter."


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
    lora: LoraSettings | None = None
    """How the backbone was adapted; the weights then hold the adapter's too."""
    head: HeadSettings
    alphabet: tuple[str, ...]
    weights: str = ""
    """SHA-256 of model.safetensors, in hexadecimal digits."""
    training: dict[str, Any] = {}
    """What is known of the run: data, seed, epochs, dev scores."""


def write_tagger(
    folder: Path,
    config: TaggerConfig,
    weights: Mapping[str, Tensor],
    adapter: Adapter | None = None,
) -> None:
    """Write both files; each is replaced in one step, so that a power cut leaves whole files.

    Raises ``TaggerError`` where the folder cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    if adapter is not None:
        tensors |= {_ADAPTER + name: tensor for name, tensor in adapter.weights.items()}
    data = safetensors.torch.save(tensors, metadata={"format": "pt"})
    config = config.model_copy(
        update={
            "weights": hashlib.sha256(data).hexdigest(),
            "lora": None if adapter is None else adapter.settings,
        }
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / WEIGHTS, data)
        replace_file(folder / CONFIG, (config.model_dump_json(indent=2) + "\n").encode())
    except OSError as error:
        raise TaggerError(
            f"{folder}: the tagger cannot be saved ({error.strerror or error})"
        ) from error


def read_tagger(folder: Path) -> tuple[TaggerConfig, dict[str, Tensor], Adapter | None]:
    """What ``write_tagger`` wrote: configuration, weights of the network, and the adapter.

    Raises ``TaggerError`` where a file is missing, damaged or of another format.
    """
    if not folder.is_dir():
        raise TaggerError(f"{folder}: no such folder; give one that `llamaner train` wrote")
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise TaggerError(f"{folder}: not a tagger, it lacks {name}")
    try:
        config = TaggerConfig.model_validate(json.loads((folder / CONFIG).read_text("utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        reason = "; ".join(str(error).splitlines()[:3])
        raise TaggerError(f"{folder / CONFIG}: not a tagger's description ({reason})") from None
    data = (folder / WEIGHTS).read_bytes()
    if hashlib.sha256(data).hexdigest() != config.weights:
        raise TaggerError(
            f"{folder / WEIGHTS}: damaged, or not the weights that {CONFIG} belongs to; copy both "
            "again, or go on with the run that was writing them: llamaner train --resume"
        )
    return config, *_parted(config, safetensors.torch.load(data))


def _parted(
    config: TaggerConfig, weights: dict[str, Tensor]
) -> tuple[dict[str, Tensor], Adapter | None]:
    """The network's weights, and the adapter."""
    if config.lora is None:
        return weights, None
    network = {n: tensor for n, tensor in weights.items() if not n.startswith(_ADAPTER)}
    updates = {
        n.removeprefix(_ADAPTER): tensor for n, tensor in weights.items() if n.startswith(_ADAPTER)
    }
    return network, Adapter(config.lora, updates)
