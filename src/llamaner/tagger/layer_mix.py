"""One vector a word out of one vector a layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llamaner.tagger.rounding import rounded_up


class LayerMix(nn.Module):
    """A learned weighted sum of layers, gamma * sum_l softmax(w)_l * h_l.

    The scalar mix of Peters et al. 2018 (arXiv 1802.05365, equation 1). The layers come in
    normalised to the same scale, as the backbone gives them.
    """

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(layers))
        self.gamma = nn.Parameter(torch.ones(()))

    def forward(self, vectors: Tensor) -> Tensor:
        """``vectors`` (N, L, D) of any float type → (N, D) in float32."""
        shares = self.gamma * self.weights.softmax(0)
        return torch.einsum("l,nld->nd", shares, vectors.to(shares.dtype))


class LayerProjection(nn.Module):
    """A linear map of all layers side by side, sum_l W_l h_l + b.

    It can use each dimension of each layer for itself, as concatenation does (Devlin et al. 2019,
    section 5.3), and gives the BiLSTM no more to read than one layer.
    """

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(layers * width, width)

    def forward(self, vectors: Tensor) -> Tensor:
        """``vectors`` (N, L, D) of any float type → (N, D) in float32, or autocast's type."""
        device, weight = vectors.device.type, self.projection.weight
        lower = torch.is_autocast_enabled(device)
        kind = torch.get_autocast_dtype(device) if lower else weight.dtype
        count, layers, width = vectors.shape
        # A lone sentence that is tagged would only wait for rows of zeros.
        filled = rounded_up(count) if self.training else count
        rows = vectors.new_zeros(filled, layers * width, dtype=kind)
        rows[:count] = vectors.flatten(1)
        projected: Tensor = self.projection(rows)[:count]
        return projected
