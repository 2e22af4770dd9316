"""Matrix products in 8-bit integers on a CPU: vector-wise quantisation of both factors.

Each output of a weight matrix and each subword's vector has a scale of its own (Dettmers et al.
2022, arXiv 2208.07339, section 2, without its decomposition), so a subword's result depends on
nothing that is read with it. Sums are exact; what is added, normalised or attended to stays in
floating point.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

_LARGEST = 126
"""Of 127, so that the scale, rounded to bfloat16, never leads beyond."""

_ZERO = 128
"""Where 0 lies in the unsigned bytes that the processor multiplies with signed ones."""


def int8_is_native() -> bool:
    """Whether this machine's processor multiplies bytes exactly (VNNI or AMX), and PyTorch asks
    it to.
    """
    capabilities = torch.cpu.get_capabilities()
    names = ("avx512_vnni", "avx_vnni", "amx_int8")
    return any(capabilities.get(name) for name in names) and hasattr(
        torch.ops.onednn, "qlinear_pointwise"
    )


def multiply_in_int8(module: nn.Module) -> None:
    """Replace the linear maps inside ``module`` by ones that multiply bytes.

    Each one's weights go before the next one's are rounded.
    """
    rounding = Rounding()
    names = [name for name, part in module.named_modules() if type(part) is nn.Linear]
    for name in names:
        linear = cast("nn.Linear", module.get_submodule(name))
        module.set_submodule(name, Int8Linear(linear, rounding))


class Rounding:
    """Vectors → bytes; maps that read the same vectors one after another share them."""

    def __init__(self) -> None:
        self._last: tuple[Tensor, Tensor, Tensor] | None = None

    def __call__(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """``vectors`` (..., D) → bytes (N, D) around 128, and scales (N, 1)."""
        last = self._last
        if last is not None and last[0] is vectors:
            return last[1], last[2]
        rows = vectors.reshape(-1, vectors.shape[-1])
        largest = rows.abs().amax(1, keepdim=True)
        scales = largest.div_(_LARGEST).clamp_(min=torch.finfo(rows.dtype).tiny)
        rounded = (rows / scales).round_().to(torch.int8)
        # As signed bytes first: PyTorch converts to them six times as fast.
        unsigned = rounded.view(torch.uint8).bitwise_xor_(_ZERO)
        self._last = vectors, unsigned, scales
        return unsigned, scales


class Int8Linear(nn.Module):
    """What a linear map (D → ``out_features``) computes, in 8-bit integers.

    It has no gradient.
    """

    def __init__(self, linear: nn.Linear, rounding: Rounding) -> None:
        super().__init__()
        self.out_features = linear.out_features
        weight = linear.weight.detach()
        scales = torch.maximum(weight.amax(1), -weight.amin(1)).float().div_(127)
        scales.clamp_(min=torch.finfo(torch.float32).tiny)
        rounded = (weight / scales[:, None]).round_().to(torch.int8)
        self._weight = torch.ops.onednn.qlinear_prepack(rounded, None)
        self._scales = scales
        self._zeros = torch.zeros(self.out_features, dtype=torch.int32)
        self._bias = None if linear.bias is None else linear.bias.detach()
        self._rounding = rounding

    def forward(self, vectors: Tensor) -> Tensor:
        """``vectors`` (..., D) → (..., ``out_features``), of the same type."""
        rounded, scales = self._rounding(vectors)
        product = torch.ops.onednn.qlinear_pointwise(
            rounded, 1.0, _ZERO, self._weight, self._scales, self._zeros, None, 1.0, 0,
            vectors.dtype, "none", [], "",
        )  # fmt: skip
        product.mul_(scales)
        if self._bias is not None:
            product.add_(self._bias)
        return cast("Tensor", product.view(*vectors.shape[:-1], self.out_features))
