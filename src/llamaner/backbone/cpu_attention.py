"""Attention in bfloat16 on a CPU, as matrix products.

PyTorch's fused kernel takes nearly twice as long where the processor has no AMX: it does not use
the bfloat16 arithmetic to the full, and computes the scores that the causal mask takes away. With
AMX it is the faster one, but for its gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

NAME = "llamaner_cpu"
"""What Transformers knows it by."""

_QUERIES_AT_ONCE = 128


def register_cpu_attention() -> None:
    """Let Transformers' models find it by its name."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **others: Any,
) -> tuple[Tensor, None]:
    """``query`` (B, H, S, D), ``key`` and ``value`` (B, H / G, S, D) → (B, S, H, D).

    Each head of ``key`` serves G of ``query``. Without ``attention_mask`` (B, 1, S, S), which is
    added to the scores, a subword sees none that follow. Scores and weights are rounded to
    bfloat16, sums are made in float32. What this is not meant for, PyTorch's kernel computes.
    """
    additive = attention_mask is None or attention_mask.is_floating_point()
    fused = not torch.is_grad_enabled() and torch.cpu.get_capabilities().get("amx_bf16")
    if fused or not additive or dropout or others.get("position_bias") is not None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        found: Tensor = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **others
        )[0]
        return found, None
    return attend_by_products(query, key, value, attention_mask, scaling), None


def attend_by_products(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None = None
) -> Tensor:
    """What ``attend`` gives back, by one product of matrices for 128 subwords of all heads."""
    batch, heads, length, width = query.shape
    key_heads = key.shape[1]
    scaled = query * (width**-0.5 if scaling is None else scaling)
    queries = scaled.view(batch, key_heads, heads // key_heads, length, width)
    key, value = key.contiguous(), value.contiguous()
    parts = [
        _attend_part(queries, key, value, mask, start)
        for start in range(0, length, _QUERIES_AT_ONCE)
    ]
    return torch.cat(parts, dim=3).view(batch, heads, length, width).transpose(1, 2)


def _attend_part(
    queries: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, start: int
) -> Tensor:
    """What the subwords from ``start`` on read, (B, H / G, G, up to 128, D)."""
    part = queries[:, :, :, start : start + _QUERIES_AT_ONCE]
    batch, key_heads, group, count, width = part.shape
    if mask is None:
        key, value = key[:, :, : start + count], value[:, :, : start + count]
    scores = part.reshape(batch, key_heads, group * count, width) @ key.transpose(-1, -2)
    apart = scores.view(batch, key_heads, group, count, -1)
    if mask is None:
        follows = torch.full((count, count), float("-inf"), dtype=scores.dtype).triu_(1)
        apart[..., start:].add_(follows)
    else:
        apart.add_(mask[:, :, None, start : start + count])
    read: Tensor = scores.softmax(-1) @ value
    return read.view(batch, key_heads, group, count, width)
