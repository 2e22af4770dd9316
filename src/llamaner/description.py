"""What ``llamaner info`` tells of a tagger, and of an installation."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from llamaner import __version__
from llamaner.errors import BackboneError
from llamaner.locations import cache_folder


def describe_installation() -> dict[str, Any]:
    """Versions, device, precision and folders of this machine."""
    import torch

    from llamaner.backbone.blocks import choose_device, choose_precision

    device = choose_device("auto")
    return {
        "llamaner": __version__,
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "device": str(device),
        "precision": choose_precision("auto", device),
        "threads": torch.get_num_threads(),
        "default backbone": _default_backbone(),
        "cache": str(cache_folder()),
    }


def describe_tagger(folder: Path) -> dict[str, Any]:
    """Labels, backbone, training and size of a saved tagger.

    Raises ``TaggerError`` where the folder holds none.
    """
    from llamaner.tagger.saving import read_tagger

    config, weights, adapter = read_tagger(folder)
    return {
        "labels": " ".join(config.labels),
        "backbone": config.backbone.model,
        "backbone fingerprint": config.backbone_fingerprint,
        "layers": " ".join(map(str, config.layers)),
        "repeat": config.backbone.repeat,
        "context": config.backbone.context,
        "attention": config.backbone.attention,
        "adapter": "none" if adapter is None else f"LoRA of rank {adapter.settings.rank}",
        "pooling": config.backbone.pooling,
        "language": config.language,
        "parameters": sum(tensor.numel() for tensor in weights.values()),
        **config.training,
    }


def _default_backbone() -> str:
    from llamaner.backbone.default_model import default_model_file

    try:
        return str(default_model_file())
    except BackboneError as error:
        return str(error)
