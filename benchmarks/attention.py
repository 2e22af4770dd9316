"""Attention in bfloat16 on a CPU: ours beside PyTorch's fused kernel, alone and in the backbone.

    python benchmarks/attention.py

The first table has the seconds of one attention of the default backbone's shape, and how far each
is from float64. The second has a whole batch through the blocks of the default preset, with the
fused kernel and with the one that is chosen here, and what its linear layers take by themselves.
Both take turns; ratios are medians of the rounds'.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn.functional import linear, scaled_dot_product_attention

from llamaner.backbone import Backbone
from llamaner.backbone.cpu_attention import NAME, attend_by_products
from llamaner.configuration import BackboneSettings

SHAPES = (4, 512), (2, 1024), (32, 64), (128, 16), (1, 30)
HEADS, KEY_HEADS, WIDTH = 9, 3, 64


def seconds(computed: Callable[[], object]) -> float:
    started = time.perf_counter()
    computed()
    return time.perf_counter() - started


def in_turns(rounds: int, *contenders: Callable[[], object]) -> list[list[float]]:
    for contender in contenders:
        contender()
    taken = [[seconds(contender) for contender in contenders] for _ in range(rounds)]
    return [list(of_one) for of_one in zip(*taken, strict=True)]


def ratio(above: list[float], below: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def heads(batch: int, length: int, count: int) -> torch.Tensor:
    found = torch.randn(batch, length, count, WIDTH).bfloat16().transpose(1, 2)
    return found.requires_grad_()


def fused(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    key, value = (part.repeat_interleave(HEADS // KEY_HEADS, 1) for part in (key, value))
    return scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2)


def ours(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return attend_by_products(query, key, value, None)


def alone(rounds: int) -> None:
    print("| rows x subwords | fused ms | ours ms | ratio | with gradient | error fused | ours |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for batch, length in SHAPES:
        inputs = [heads(batch, length, count) for count in (HEADS, KEY_HEADS, KEY_HEADS)]
        with torch.no_grad():
            taken = in_turns(rounds, lambda i=inputs: fused(*i), lambda i=inputs: ours(*i))
            exact = fused(*(part.double() for part in inputs))
            errors = [(kernel(*inputs) - exact).abs().mean().item() for kernel in (fused, ours)]
        learning = in_turns(
            rounds,
            lambda i=inputs: fused(*i).sum().backward(),
            lambda i=inputs: ours(*i).sum().backward(),
        )
        milliseconds = [1000 * statistics.median(part) for part in taken]
        print(
            f"| {batch} x {length} | {milliseconds[0]:.2f} | {milliseconds[1]:.2f} "
            f"| {ratio(*taken):.2f} | {ratio(*learning):.2f} | {errors[0]:.5f} | {errors[1]:.5f} |"
        )


@torch.inference_mode()
def in_the_backbone(rounds: int) -> None:
    blocks = Backbone(BackboneSettings(precision="bfloat16", device="cpu")).blocks
    weights = [p for layer in blocks.model.layers for p in layer.parameters() if p.dim() == 2]
    print("\n| rows x subwords | fused s | chosen s | ratio | linear layers s | share of it |")
    print("|---|--:|--:|--:|--:|--:|")
    for batch, length in SHAPES[:3]:
        ids = torch.randint(5, 40_000, (batch, length))
        lengths = torch.full((batch,), length)
        inputs = {
            width: torch.randn(batch * length, width).bfloat16()
            for width in {weight.shape[1] for weight in weights}
        }

        def run(kernel: str, ids: torch.Tensor = ids, lengths: torch.Tensor = lengths) -> None:
            blocks.model.set_attn_implementation(kernel)
            blocks(ids, lengths)

        def products(inputs: dict[int, torch.Tensor] = inputs) -> None:
            for weight in weights:
                linear(inputs[weight.shape[1]], weight)

        taken = in_turns(rounds, lambda r=run: r("sdpa"), lambda r=run: r(NAME), products)
        middle = [statistics.median(part) for part in taken]
        print(
            f"| {batch} x {length} | {middle[0]:.2f} | {middle[1]:.2f} "
            f"| {ratio(taken[0], taken[1]):.2f} | {middle[2]:.2f} "
            f"| {ratio(taken[2], taken[1]):.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.manual_seed(0)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__.partition('+')[0]}\n")
    alone(options.rounds)
    in_the_backbone(options.rounds)


if __name__ == "__main__":
    main()
