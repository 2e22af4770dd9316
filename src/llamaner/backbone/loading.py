"""Reading a decoder from its folder: tensor after tensor, and only those that are used.

Files are read, not mapped: a mapped file counts as memory of the process next to the weights made
of it, which doubles the peak. Names are brought to those of the bare decoder, so that a causal or
a multimodal model's checkpoint can be read too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from llamaner.backbone.cpu_attention import NAME as CPU_ATTENTION
from llamaner.backbone.cpu_attention import register_cpu_attention
from llamaner.backbone.quiet import quiet_bitsandbytes, quiet_transformers
from llamaner.configuration import Quantization
from llamaner.errors import BackboneError, ConfigurationError

_EMBEDDING = "embed_tokens.weight"
_BLOCK = re.compile(r"layers\.(\d+)\.")


def decoder_class(config: Any) -> Any:
    """The class of the bare decoder, without a language-model head.

    Raises ``BackboneError`` for a configuration that Transformers has no model for.
    """
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    if type(config) not in MODEL_MAPPING:
        raise BackboneError(f"{config.model_type} is not a decoder of the LLaMA kind")
    return MODEL_MAPPING[type(config)]


def first_blocks(config: Any, count: int) -> Any:
    """``config`` of the model's first ``count`` blocks; it is changed in place."""
    config.num_hidden_layers = count
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:count]
    return config


def read_decoder(
    folder: Path,
    config: Any,
    dtype: torch.dtype,
    device: torch.device,
    quantization: Quantization = "none",
    *,
    spread: bool = False,
) -> nn.Module:
    """The decoder that ``config`` describes, its weights read from ``folder`` onto ``device``.

    With ``spread`` the blocks are placed on all GPUs, and on the CPU what is left over. Raises
    ``BackboneError`` where weights are missing, damaged or of another shape.
    """
    try:
        with quiet_transformers():
            model, report = decoder_class(config).from_pretrained(
                None,
                config=config,
                state_dict=_lazy_weights(folder, config.num_hidden_layers),
                dtype=dtype,
                device_map="auto" if spread else {"": device},
                output_loading_info=True,
                **_quantized(quantization, dtype),
                **_attention(decoder_class(config), dtype, device),
            )
    except BackboneError:
        raise
    except Exception as error:
        # safetensors has an error of its own for a damaged file, and torch for others.
        reason = str(error).partition("\n")[0]
        raise BackboneError(f"{folder}: the weights cannot be loaded ({reason})") from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise BackboneError(f"{folder}: {len(missing)} weights are missing, as {missing[0]}")
    _keep_unpacked(model)
    return model  # type: ignore[no-any-return]


def _keep_unpacked(model: Any) -> None:
    """Let bitsandbytes leave weights in 4 bits as they are.

    On a CPU it packs them anew when they are first used outside training, for a product that has
    no gradient: blocks that learn would then learn from a wrong one, and nobody would notice.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def require_quantization(quantization: Quantization, device: torch.device) -> None:
    """Raise ``ConfigurationError`` where weights cannot be kept in so few bits on ``device``."""
    if quantization == "none":
        return
    if device.type not in ("cuda", "cpu"):
        raise ConfigurationError(
            f"quantization {quantization!r} works on CUDA and CPU, not on {device.type!r}"
        )
    if find_spec("bitsandbytes") is None:
        raise ConfigurationError(
            f"quantization {quantization!r} needs bitsandbytes: pip install 'llamaner[quantize]'"
        )


def _quantized(quantization: Quantization, dtype: torch.dtype) -> dict[str, Any]:
    """How bitsandbytes keeps the matrices of the blocks: LLM.int8() or NF4."""
    if quantization == "none":
        return {}
    quiet_bitsandbytes()
    from transformers import BitsAndBytesConfig as Untyped

    configured: Any = Untyped
    if quantization == "8bit":
        return {"quantization_config": configured(load_in_8bit=True)}
    return {
        "quantization_config": configured(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
        )
    }


def _attention(decoder: Any, dtype: torch.dtype, device: torch.device) -> dict[str, str]:
    """Our own attention where it is faster; not for models that need another kind of scores."""
    if device.type != "cpu" or dtype != torch.bfloat16 or not decoder._supports_sdpa:
        return {}
    register_cpu_attention()
    return {"attn_implementation": CPU_ATTENTION}


def _lazy_weights(folder: Path, blocks: int) -> Mapping[str, Any]:
    """The weights of the first ``blocks`` by their names in the bare decoder, not read yet."""
    from safetensors import safe_open

    found: dict[str, Any] = {}
    for file in weight_files(folder):
        opened: Any = safe_open(file, framework="pt", backend="pread")
        found.update((name, opened.get_slice(name)) for name in opened.keys())  # noqa: SIM118
    prefix = _decoder_prefix(found)
    own = {
        name.removeprefix(prefix): lazy for name, lazy in found.items() if name.startswith(prefix)
    }
    return {name: lazy for name, lazy in own.items() if _block_of(name) < blocks}


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights, as Transformers names them."""
    if (single := folder / "model.safetensors").is_file():
        return [single]
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        raise BackboneError(
            f"{folder}: there is neither model.safetensors nor model.safetensors.index.json"
        )
    names = set(json.loads(index.read_text())["weight_map"].values())
    return [folder / name for name in sorted(names)]


def _decoder_prefix(names: Mapping[str, Any]) -> str:
    """What stands before the decoder's names: "model." in causal models, others elsewhere."""
    embeddings = [name for name in names if name.endswith(_EMBEDDING)]
    return min(embeddings, key=len, default=_EMBEDDING).removesuffix(_EMBEDDING)


def _block_of(name: str) -> int:
    found = _BLOCK.match(name)
    return int(found[1]) if found else -1
