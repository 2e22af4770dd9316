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
        insert_adapter(blocks, self.settings)
        self._fill(blocks)
        from peft.tuners.lora import Linear as MergeableLayer
        from peft.tuners.lora import LoraLayer

        for parent in list(blocks.model.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, MergeableLayer):
                    child.merge()
                    setattr(parent, name, child.get_base_layer())
                elif isinstance(child, LoraLayer):
                    for parameter in _updates(child):
                        parameter.data = parameter.data.to(blocks.dtype)
        blocks.requires_grad_(False).eval()

    def _fill(self, blocks: Blocks) -> None:
        from peft import set_peft_model_state_dict

        try:
            found: Any = set_peft_model_state_dict(blocks.model, dict(self.weights))
        except RuntimeError as error:
            raise BackboneError(f"the adapter does not fit the backbone ({error})") from None
        missing = [name for name in found.missing_keys if "lora_" in name]
        if found.unexpected_keys or missing:
            wrong = [*found.unexpected_keys, *missing][0]
            raise BackboneError(f"the adapter does not fit the backbone, as {wrong}")


def insert_adapter(blocks: Blocks, settings: LoraSettings) -> list[nn.Parameter]:
    """Add untrained updates, in float32, to all linear maps of the adapted blocks; give them."""
    quiet_bitsandbytes()
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.lora import LoraLayer

    layers: Any = blocks.model.layers
    first = settings.first_block or 1
    adapted = list(range(first - 1, len(layers)))
    if not adapted:
        raise ConfigurationError(
            f"the first adapted block ({first}) lies above the highest layer used ({len(layers)})"
        )
    names = {
        name.rpartition(".")[2]
        for index in adapted
        for name, module in layers[index].named_modules()
        if isinstance(module, nn.Linear)
    }
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        target_modules=sorted(names),
        layers_to_transform=adapted,
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
