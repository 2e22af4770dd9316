"""What extraction will take, told from the configuration alone: no weight is read or downloaded."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from typing import Any

import psutil
import torch

from llamaner.backbone.activations import activation_bytes
from llamaner.backbone.blocks import (
    choose_device,
    choose_layers,
    choose_precision,
    torch_dtype,
)
from llamaner.backbone.budget import choose_budget, free_bytes
from llamaner.backbone.loading import decoder_class, first_blocks
from llamaner.backbone.source import find_config
from llamaner.configuration import BackboneSettings, Precision, Quantization

TOKENIZER_BYTES = 1600
"""Of a tokenizer in memory, for each piece of its vocabulary (measured on SmolLM2's)."""

QUANTIZED_BYTES = {"8bit": 1.0, "4bit": 0.5 + 4 / 64}
"""For each weight of a matrix: NF4 keeps a float32 for each 64 weights."""

_SENTENCE_BYTES = 32


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to run the backbone, and the bytes that it takes on the device.

    ``blocks`` are loaded. ``fits`` tells whether what is free now suffices.
    """

    layers: tuple[int, ...]
    blocks: int
    precision: str
    quantization: str
    token_budget: int
    weights: int
    activations: int
    fits: bool


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What a backbone as set up takes; sizes in bytes.

    ``program`` is what Python, PyTorch, Transformers and the tokenizer take in main memory;
    ``store`` what the features of ``words`` words take on disk.
    """

    model: str
    depth: int
    width: int
    device: str
    free: int
    program: int
    chosen: Choice
    alternatives: tuple[Choice, ...]
    sentences: int
    words: int
    store: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def plan_memory(settings: BackboneSettings, *, words: int = 0, sentences: int = 0) -> MemoryPlan:
    """What ``settings`` take on this machine, and the features of so many words on disk.

    Raises ``BackboneError`` where there is no such model, and ``ConfigurationError`` for layers
    or a device that are not there.
    """
    config = find_config(settings.model, settings.revision)
    device = choose_device(settings.device)
    layers = choose_layers(settings.layers, config.num_hidden_layers, settings.depth)
    precision = choose_precision(settings.precision, device, settings.quantization)
    program = psutil.Process().memory_info().rss + TOKENIZER_BYTES * config.vocab_size
    # What this process has taken already, extraction would take as well.
    free = free_bytes(device)
    room = free if device.type != "cpu" else free - TOKENIZER_BYTES * config.vocab_size

    def choice(layers: tuple[int, ...], precision: Precision, bits: Quantization) -> Choice:
        weights = weight_bytes(config, max(1, *layers), precision, bits)
        each = activation_bytes(config, layers, torch_dtype(precision), 1)
        budget = settings.token_budget
        if budget == "auto":
            budget = choose_budget(max(0, room - weights), each, device)
        return Choice(
            layers=layers,
            blocks=max(1, *layers),
            precision=precision,
            quantization=bits,
            token_budget=budget,
            weights=weights,
            activations=each * budget,
            fits=weights + each * budget <= room,
        )

    half = tuple(sorted({max(1, layer // 2) for layer in layers}))
    kinds: list[tuple[Precision, Quantization]] = [("float32", "none"), ("bfloat16", "none")]
    if device.type == "cuda":
        # On a CPU it is slower, and takes more while it quantises than it saves (docs/memory.md).
        kinds += [("bfloat16", "8bit"), ("bfloat16", "4bit")]
    return MemoryPlan(
        model=settings.model,
        depth=config.num_hidden_layers,
        width=config.hidden_size,
        device=str(device),
        free=free,
        program=program,
        chosen=choice(layers, precision, settings.quantization),
        alternatives=tuple(choice(some, *kind) for some in (layers, half) for kind in kinds),
        sentences=sentences,
        words=words,
        store=words * len(layers) * config.hidden_size * 2 + sentences * _SENTENCE_BYTES,
    )


def weight_bytes(
    config: Any, blocks: int, precision: Precision, quantization: Quantization = "none"
) -> int:
    """Of the embedding and the first ``blocks``; only the blocks' matrices are quantised.

    For int8 it is the most that they take, while they are rounded: what was read goes back to the
    allocator, not to the system.
    """
    config = first_blocks(copy.deepcopy(config), blocks)
    with torch.device("meta"):
        decoder = decoder_class(config)(config)
        decoder.norm = torch.nn.Identity()  # as in ``Blocks``
    everything = sum(parameter.numel() for parameter in decoder.parameters())
    matrices = sum(
        module.weight.numel() for module in decoder.modules() if isinstance(module, torch.nn.Linear)
    )
    size = torch_dtype(precision).itemsize
    each = size + 1 if precision == "int8" else QUANTIZED_BYTES.get(quantization, size)
    return int((everything - matrices) * size + matrices * each)
