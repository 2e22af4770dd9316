"""The blocks of a LLaMA-architecture model: only those up to the highest layer used are loaded."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from llamaner.backbone.attention import padding_mask, see_both_ways
from llamaner.backbone.cpu_int8 import int8_is_native
from llamaner.backbone.kernel_caches import bound_kernel_caches
from llamaner.backbone.loading import first_blocks, read_decoder
from llamaner.backbone.quiet import quiet_transformers
from llamaner.configuration import Precision, Quantization
from llamaner.errors import BackboneError, ConfigurationError

LAYERS_READ = (0.345, 0.46, 0.69, 0.84, 1.0)
"""Where the layers lie that are read by default: parts of the depth that is read."""

_DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def choose_device(device: str) -> torch.device:
    """The device that ``device`` names; ``auto`` is the first accelerator, or the CPU;
    with ``all`` the first GPU, on which what goes through all of them starts and ends.

    Raises ``ConfigurationError`` for a device that this machine lacks.
    """
    if device == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator if accelerator is not None else torch.device("cpu")
    if device == "all":
        if (count := torch.cuda.device_count()) < 2:
            raise ConfigurationError(f"device 'all' is for several GPUs, and here are {count}")
        return torch.device("cuda:0")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(f"device {device!r} is not usable here ({reason})") from None
    return chosen


def choose_precision(
    precision: Precision,
    device: torch.device,
    quantization: Quantization = "none",
    *,
    learns: bool = False,
) -> Precision:
    """``auto`` resolved: bfloat16 where ``device`` computes it natively, else float32.

    A backbone that ``learns`` has gradients, which int8 has not. Raises ``ConfigurationError`` for
    int8 where it cannot be used.
    """
    against = _against_int8(device, quantization, learns)
    if precision == "int8" and against:
        raise ConfigurationError(f"precision 'int8' {against}: leave precision out")
    if precision != "auto":
        return precision
    if device.type == "cpu":
        return _native_float()
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    return "float32"


def _against_int8(device: torch.device, quantization: Quantization, learns: bool) -> str | None:
    if device.type != "cpu" or not int8_is_native():
        return f"needs a CPU that multiplies bytes (VNNI, AMX), and this {device.type} does not"
    if quantization != "none":
        return f"rounds the weights itself, so quantization {quantization!r} does not go with it"
    return "has no gradient, and adapting needs one" if learns else None


def read_config(path: Path) -> Any:
    """The Transformers configuration of a model folder, or of a GGUF file.

    Raises ``BackboneError`` for a model that is no decoder of the LLaMA kind.
    """
    from transformers import AutoConfig

    place = (path, {}) if path.is_dir() else (path.parent, {"gguf_file": path.name})
    try:
        with quiet_transformers():
            config = AutoConfig.from_pretrained(place[0], **place[1]).get_text_config()
    except Exception as error:
        # Transformers raises errors of many kinds for a configuration that it cannot use.
        reason = str(error).partition("\n")[0]
        raise BackboneError(f"{path}: the configuration cannot be used ({reason})") from error
    if not hasattr(config, "num_hidden_layers") or getattr(config, "is_encoder_decoder", False):
        raise BackboneError(f"{path}: {config.model_type} is not a decoder of the LLaMA kind")
    return config


def choose_layers(layers: tuple[int, ...], depth: int, part_read: float) -> tuple[int, ...]:
    """``layers`` of a model with ``depth`` blocks, counted from the front, sorted, each once.

    Without any, five that are spread over the part of the depth that is read.

    Raises ``ConfigurationError`` for a layer that the model does not have.
    """
    if not layers:
        return tuple(sorted({max(1, round(part * part_read * depth)) for part in LAYERS_READ}))
    wrong = [layer for layer in layers if not -depth <= layer <= depth]
    if wrong:
        raise ConfigurationError(
            f"the backbone has layers 0 to {depth} (or -{depth} to -1), not {wrong}"
        )
    return tuple(sorted({layer if layer >= 0 else depth + 1 + layer for layer in layers}))


class Blocks(nn.Module):
    """Subword ids → hidden states of the layers used.

    Blocks above the highest of ``layers`` are neither kept nor run, nor is the final norm:
    a layer's state is what its block adds up to. Blocks before ``first``, counted from 1, are not
    there either; the states below it are then given.
    """

    def __init__(self, model: nn.Module, layers: tuple[int, ...], *, first: int = 1) -> None:
        super().__init__()
        blocks = getattr(model, "layers", None)
        if not isinstance(blocks, nn.ModuleList):
            raise BackboneError(f"{type(model).__name__} is not a decoder of the LLaMA kind")
        if min(layers) < first - 1:
            raise ValueError(f"layer {min(layers)} is not there where blocks begin with {first}")
        blocks = blocks[: max(first, *layers)]
        for index in range(first - 1):
            blocks[index] = _PassThrough()
        model.layers = blocks
        model.norm = nn.Identity()
        self.model = model.eval().requires_grad_(False)
        self.layers, self.first = layers, first
        self._states: dict[int, Tensor] = {}
        self._start: Tensor | None = None
        self._padding: Tensor | None = None
        blocks[first - 1].register_forward_pre_hook(self._begin, with_kwargs=True)
        for layer in layers:
            self._watch(layer)

    @classmethod
    def load(
        cls,
        folder: Path,
        layers: tuple[int, ...],
        dtype: torch.dtype,
        device: torch.device,
        *,
        quantization: Quantization = "none",
        spread: bool = False,
        unmasked: Collection[int] = (),
        first: int = 1,
    ) -> Blocks:
        """Read the blocks from ``first`` to the highest of ``layers`` from a model folder.

        Those in ``unmasked``, counted from 1, see what follows. Raises ``BackboneError`` where
        weights are missing or of another shape.
        """
        bound_kernel_caches()
        config = first_blocks(read_config(folder), max(first, *layers))
        model = read_decoder(folder, config, dtype, device, quantization, spread=spread)
        blocks = cls(model, layers, first=first)
        blocks.require_causal(str(folder))
        blocks.unmask(unmasked)
        return blocks

    @property
    def dtype(self) -> torch.dtype:
        """The type of the states, and of all weights that are not quantised."""
        return next(self.parameters()).dtype

    def forward(self, ids: Tensor, lengths: Tensor, start: Tensor | None = None) -> Tensor:
        """``ids`` (B, S), padded at the right, → states (B, S, L, D) of ``layers`` in order.

        ``lengths`` (B) are the rows' without padding. ``start`` (B, S, D) takes the place of the
        state below block ``first``. A causal block needs no mask: its state depends on nothing to
        its right.
        """
        self._start = start
        self._padding = padding_mask(lengths, ids.shape[1], self.dtype)
        try:
            self.model(input_ids=ids, use_cache=False)
            return torch.stack([self._states[layer].to(ids.device) for layer in self.layers], dim=2)
        finally:
            self._states.clear()
            self._start = self._padding = None

    def recompute(self) -> None:
        """Keep only what goes into each block for the backward pass, which runs the block again.

        The hooks stay outside: they see each state once.
        """
        blocks: Any = self.model.layers
        for block in blocks[self.first - 1 :]:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)

    def unmask(self, unmasked: Collection[int]) -> None:
        """Let these blocks, counted from 1, see what follows."""
        blocks: Any = self.model.layers
        for number in unmasked:
            if self.first <= number <= len(blocks):
                see_both_ways(blocks[number - 1], self._padding_mask)

    @torch.inference_mode()
    def require_causal(self, name: str) -> None:
        """Raise ``BackboneError`` where a state depends on what stands to its right.

        Rows are padded at the right without a mask: a bidirectional encoder would read the padding.
        """
        device = next(self.parameters()).device
        ids = torch.tensor([[3, 4, 5], [3, 4, 6]], device=device)
        one, other = self(ids, torch.tensor([3, 3], device=device))[:, :2].float()
        if not (one.isfinite().all() and other.isfinite().all()):
            raise BackboneError(
                f"{name}: its states are too large for {str(self.dtype).removeprefix('torch.')}, "
                "or its weights are damaged; try --precision bfloat16 or float32"
            )
        if not torch.allclose(one, other, rtol=1e-3, atol=1e-3):
            raise BackboneError(f"{name}: reads to the right; a causal LLaMA decoder is needed")

    def _padding_mask(self) -> Tensor:
        assert self._padding is not None
        return self._padding

    def _begin(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Put the given states in the place of what the blocks before would have made."""
        if self._start is None:
            return None
        if args:
            return (self._start, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": self._start}

    def _watch(self, layer: int) -> None:
        blocks: Any = self.model.layers
        if layer == self.first - 1:
            blocks[layer].register_forward_pre_hook(
                lambda _, args, kwargs: self._keep(
                    layer, args[0] if args else kwargs["hidden_states"]
                ),
                with_kwargs=True,
            )
        else:
            blocks[layer - 1].register_forward_hook(lambda _, __, output: self._keep(layer, output))

    def _keep(self, layer: int, output: Tensor | tuple[Tensor, ...]) -> None:
        self._states[layer] = output if isinstance(output, Tensor) else output[0]


class _PassThrough(nn.Module):
    """Stands where a block is not needed."""

    def forward(self, hidden_states: Tensor, **_: Any) -> Tensor:
        return hidden_states


def torch_dtype(precision: Precision) -> torch.dtype:
    """The torch type of a resolved precision; of int8, that of all but the products."""
    return _DTYPES[_native_float() if precision == "int8" else precision]


def _native_float() -> Precision:
    """bfloat16 where the CPU computes it natively, else float32."""
    capabilities = torch.cpu.get_capabilities()
    native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bfloat16" if native else "float32"
