"""Low-rank updates of a backbone's weights: LoRA (Hu et al. 2021, arXiv 2106.09685), by peft."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from torch import Tensor, nn

from llamaner.backbone.attention import first_upper_block
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
        """SHA-256 of settings and weights, in hexadecimal digits."""
        digest = hashlib.sha256(self.settings.model_dump_json().encode())
        for name in sorted(self.weights):
            digest.update(name.encode())
            digest.update(safetensors.torch.save({"": self.weights[name].contiguous()}))
        return digest.hexdigest()

    def merge_into(self, blocks: Blocks) -> None:
        """Add the updates to the weights of ``blocks``, which then run as fast as without.

        Raises ``BackboneError`` where they do not fit.
        """
        from peft import set_peft_model_state_dict
        from peft.tuners.lora import LoraLayer

        insert_adapter(blocks, self.settings)
        try:
            found: Any = set_peft_model_state_dict(blocks.model, dict(self.weights))
        except RuntimeError as error:
            raise BackboneError(f"the adapter does not fit the backbone ({error})") from None
        missing = [name for name in found.missing_keys if "lora_" in name]
        if found.unexpected_keys or missing:
            wrong = [*found.unexpected_keys, *missing][0]
            raise BackboneError(f"the adapter does not fit the backbone, as {wrong}")
        for parent in list(blocks.model.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, LoraLayer):
                    child.merge()
                    setattr(parent, name, child.get_base_layer())
        blocks.requires_grad_(False).eval()


def insert_adapter(blocks: Blocks, settings: LoraSettings) -> list[nn.Parameter]:
    """Add untrained updates, in float32, to all linear maps of the adapted blocks; give them."""
    from peft import LoraConfig, inject_adapter_in_model

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
    updates = [p for name, p in blocks.model.named_parameters() if "lora_" in name]
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
    from peft.helpers import disable_input_dtype_casting

    weight = next(p for name, p in blocks.model.named_parameters() if "lora_" not in name)
    if weight.dtype == torch.float32:
        return ExitStack()
    stack = ExitStack()
    stack.enter_context(disable_input_dtype_casting(blocks.model))
    stack.enter_context(torch.autocast(weight.device.type, dtype=weight.dtype))
    return stack
