"""Compare the backbone's precisions, and bitsandbytes: speed, likeness to float32, and the floor.

    python benchmarks/precision.py [--model default] [--threads 2]

The blocks of the default preset take turns on batches of three shapes; a cell is the median of the
rounds' ratios to float32, with the smallest and the largest. Likeness is the mean cosine of the
states to float32's, of the layer where it is lowest; the first subword of a row, whose states are
huge in many models, is left out. The floor is the time that float32's matrix products take.
"""

import argparse
import statistics
import time
from importlib.util import find_spec

import torch
from torch.nn import functional

from llamaner.backbone import Backbone
from llamaner.backbone.blocks import Blocks, choose_precision
from llamaner.backbone.cpu_int8 import int8_is_native
from llamaner.configuration import BackboneSettings

SHAPES = ((4, 512), (32, 64), (1, 28))
CPU = torch.device("cpu")


def ways() -> dict[str, dict[str, str]]:
    """Settings by name; those that this machine lacks are left out."""
    found = {"float32": {"precision": "float32"}, "bfloat16": {"precision": "bfloat16"}}
    if int8_is_native():
        found["int8"] = {"precision": "int8"}
    if find_spec("bitsandbytes"):
        native = choose_precision("auto", CPU)
        for bits in ("8bit", "4bit"):
            found[f"bitsandbytes {bits}"] = {"precision": native, "quantization": bits}
    return found


def likeness(states: torch.Tensor, exact: torch.Tensor) -> float:
    """The mean cosine in the worst layer."""
    cosines = functional.cosine_similarity(states[:, 1:].float(), exact[:, 1:].float(), dim=-1)
    return cosines.mean((0, 1)).min().item()


def floor_seconds(blocks: Blocks, subwords: int) -> float:
    """What the linear maps' products take by themselves."""
    maps = [m for m in blocks.modules() if isinstance(m, torch.nn.Linear)]
    inputs = {m.in_features: torch.randn(subwords, m.in_features) for m in maps}
    started = time.perf_counter()
    for m in maps:
        functional.linear(inputs[m.in_features], m.weight)
    return time.perf_counter() - started


@torch.inference_mode()
def measure(
    blocks: dict[str, Blocks], shape: tuple[int, int], rounds: int
) -> dict[str, tuple[list[float], float]]:
    """Each way's seconds, round after round, and the likeness of its states."""
    ids = torch.randint(5, 30_000, shape, generator=torch.Generator().manual_seed(0))
    lengths = torch.full(shape[:1], shape[1])
    found: dict[str, tuple[list[float], float]] = {}
    exact = blocks["float32"](ids, lengths)
    for name, way in blocks.items():
        found[name] = [], likeness(way(ids, lengths), exact)
    found["floor"] = [], 1.0
    for _ in range(rounds):
        for name, way in blocks.items():
            started = time.perf_counter()
            way(ids, lengths)
            found[name][0].append(time.perf_counter() - started)
        found["floor"][0].append(floor_seconds(blocks["float32"], ids.numel()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    blocks = {
        name: Backbone(BackboneSettings(model=arguments.model, device="cpu", **settings)).blocks
        for name, settings in ways().items()
    }
    print("| rows x subwords | | subwords/s | times float32's | likeness |\n|---|---|--:|--:|--:|")
    for shape in SHAPES:
        found = measure(blocks, shape, arguments.rounds)
        base = found["float32"][0]
        for name, (seconds, like) in found.items():
            ratios = sorted(b / s for b, s in zip(base, seconds, strict=True))
            rate = shape[0] * shape[1] / statistics.median(seconds)
            times = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            print(f"| {shape[0]} x {shape[1]} | {name} | {rate:,.0f} | {times} | {like:.4f} |")


if __name__ == "__main__":
    main()
