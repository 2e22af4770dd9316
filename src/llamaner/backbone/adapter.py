"""Low-rank updates of a backbone's weights: LoRA (Hu et al. 2021, arXiv 2106.09685), by peft."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from torch import Tensor, nn

from llamaner.backbone.attention import first_upper_block
from llamaner.backbone.quiet import quiet_bitsandbytes
from llamaner.configuration import LoraSettings
from llamaner.errors import BackboneError, ConfigurationError

if TYPE_CHECKING:
    from llamaner.backbone.blocks import Blocks


def for_depth(settings: LoraSettings, depth: int) -> LoraSettings:
    """``settings`` with the first block chosen, for a model with ``depth`` blocks."""
    first = settings.first_block or first_upper_block(depth)
    return settings.model_copy(update={"first_block": first})


@dataclass(frozen=True)
class Adapter:
    """The updates of a trained adapter, as peft names them."""

    settings: LoraSettings
    weights: Mapping[str, Tensor]

    def fingerprint(self) -> str:
        """SHA-256 of weights and the settings that they depend on, in hexadecimal digits."""
        settings = self.settings.model_dump_json(exclude={"gradient_checkpointing"})
        digest = hashlib.sha256(settings.encode())
        for name in sorted(self.weights):
            digest.update(name.encode())
            digest.update(safetensors.torch.save({"": self.weights[name].contiguous()}))
        return digest.hexdigest()

    def add_to(self, blocks: Blocks) -> None:
        """Add the updates to the weights of ``blocks``, which then run as fast as without.

        Quantised weights cannot take them up exactly: there they stay beside the weights, and are
        computed in the backbone's type. Raises ``BackboneError`` where they do not fit.
        """
        linear = adapted_linear_maps(blocks, self.settings)
        self._require_fit(linear)
        if all(type(module) is nn.Linear for module in linear.values()):
            # By hand, since peft takes longer to import than a text takes to tag.
            for name, module in linear.items():
                self._merge(name, module)
        else:
            for parameter in self.insert_into(blocks):
                parameter.data = parameter.data.to(blocks.dtype)
        blocks.requires_grad_(False).eval()

    def _require_fit(self, linear: Mapping[str, nn.Linear]) -> None:
        rank = self.settings.rank
        shapes = {}
        for name, module in linear.items():
            shapes[f"{name}.lora_A.weight"] = (rank, module.in_features)
            shapes[f"{name}.lora_B.weight"] = (module.out_features, rank)
        found = {name: tuple(weight.shape) for name, weight in self.weights.items()}
        if wrong := sorted(dict(found.items() ^ shapes.items())):
            raise BackboneError(f"the adapter does not fit the backbone, as {wrong[0]}")

    @torch.no_grad()
    def _merge(self, name: str, module: nn.Linear) -> None:
        """W + alpha / r · B A, added up in float32 (Hu et al. 2021, section 4.1)."""
        weight = module.weight
        low, high = (
            self.weights[f"{name}.lora_{part}.weight"].to(weight.device, torch.float32)
            for part in "AB"
        )
        update = (high @ low) * (self.settings.alpha / self.settings.rank)
        weight.copy_(weight.float() + update)

    def insert_into(self, blocks: Blocks) -> list[nn.Parameter]:
        """Put the updates beside the weights, where they can go on learning; give them, in float32.

        Raises ``BackboneError`` where they do not fit.
        """
        self._require_fit(adapted_linear_maps(blocks, self.settings))
        updates = insert_adapter(blocks, self.settings)
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(blocks.model, dict(self.weights))
        return updates


def adapted_linear_maps(blocks: Blocks, settings: LoraSettings) -> dict[str, nn.Linear]:
    """The linear maps of the adapted blocks by their names in the model.

    Raises ``ConfigurationError`` where no block is adapted.
    """
    layers: Any = blocks.model.layers
    first = settings.first_block or 1
    if first > len(layers):
        raise ConfigurationError(
            f"the first adapted block ({first}) lies above the highest layer used ({len(layers)})"
        )
    return {
        f"layers.{index}.{name}": module
        for index in range(first - 1, len(layers))
        for name, module in layers[index].named_modules()
        if isinstance(module, nn.Linear)
    }


def insert_adapter(blocks: Blocks, settings: LoraSettings) -> list[nn.Parameter]:
    """Add untrained updates, in float32, to all linear maps of the adapted blocks; give them."""
    quiet_bitsandbytes()
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.lora import LoraLayer

    linear = adapted_linear_maps(blocks, settings)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        target_modules=sorted({name.rpartition(".")[2] for name in linear}),
        layers_to_transform=sorted({int(name.split(".")[1]) for name in linear}),
        layers_pattern="layers",
    )
    inject_adapter_in_model(config, blocks.model)
    for module in blocks.model.modules():
        if isinstance(module, LoraLayer):
            # ``mixed_precision`` decides; inputs in float32 would only take memory.
            module.cast_input_dtype_enabled = False
    updates = _updates(blocks.model)
    for parameter in updates:
        parameter.data = parameter.data.float()
    return updates


def adapter_weights(blocks: Blocks) -> dict[str, Tensor]:
    """Copies of the updates in ``blocks``, in float16."""
    from peft import get_peft_model_state_dict

    weights = get_peft_model_state_dict(blocks.model)
    return {name: tensor.detach().half().cpu().clone() for name, tensor in weights.items()}


def mixed_precision(blocks: Blocks) -> AbstractContextManager[object]:
    """Compute the updates in the backbone's type, while they are kept and learnt in float32."""
    if blocks.dtype == torch.float32:
        return nullcontext()
    return torch.autocast(next(blocks.parameters()).device.type, dtype=blocks.dtype)


def _updates(module: nn.Module) -> list[nn.Parameter]:
    return [p for name, p in module.named_parameters() if "lora_" in name]
