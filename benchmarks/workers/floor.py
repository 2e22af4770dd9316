"""The floor: the matrix arithmetic that the blocks need, at this machine's rate of doing it.

The operations are those of the linear layers and of causal attention (half of all pairs) over the
subwords that are read, without padding. The rate is that of the linear layers' products in
PyTorch, with the batch and threads of the backbone: for the linear layers in their type, for
attention in the type of the states.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional
from worker import Contender, serve


class Floor(Contender):
    def prepare(
        self,
        *,
        backbone: str,
        rows: list[int],
        blocks: int,
        precision: str,
        states: str,
        batch: int,
    ) -> dict:
        config = json.loads(Path(backbone, "config.json").read_text())
        width, inner = config["hidden_size"], config["intermediate_size"]
        heads = config["num_attention_heads"]
        head = config.get("head_dim") or width // heads
        queries, keys = heads * head, config["num_key_value_heads"] * head
        shapes = [(width, queries), (width, keys), (width, keys), (queries, width)]
        shapes += [(width, inner), (width, inner), (inner, width)]
        a_subword = 2 * sum(a * b for a, b in shapes)
        linear, attention = a_subword * sum(rows), sum(2 * row * row * queries for row in rows)
        dtype = getattr(torch, states)
        needed = {"int8": linear, dtype: attention}
        if precision != "int8":
            needed = {dtype: linear + attention}
        self.parts = [
            (blocks * operations, batch * a_subword, products(kind, shapes, batch))
            for kind, operations in needed.items()
        ]
        return {"operations": blocks * (linear + attention), "subwords": sum(rows)}

    @torch.inference_mode()
    def round(self, least: float) -> dict:
        """The seconds that all operations take at the rates of this round."""
        seconds = 0.0
        for needed, a_pass, multiply in self.parts:
            started, passes = time.perf_counter(), 0
            while not passes or time.perf_counter() - started < least / len(self.parts):
                multiply()
                passes += 1
            seconds += needed / (passes * a_pass) * (time.perf_counter() - started)
        return {"seconds": seconds}


def products(
    kind: torch.dtype | str, shapes: list[tuple[int, int]], batch: int
) -> Callable[[], None]:
    """A function that multiplies matrices of these shapes once."""
    if kind == "int8":
        pairs = [(torch.ones(batch, a, dtype=torch.uint8), *packed(a, b)) for a, b in shapes]

        def multiply() -> None:
            for x, weight, scales, zeros in pairs:
                torch.ops.onednn.qlinear_pointwise(
                    x, 1.0, 128, weight, scales, zeros, None, 1.0, 0, torch.bfloat16, "none", [], ""
                )

    else:
        inputs = {a: torch.randn(batch, a).to(kind) for a, _ in shapes}
        weights = [(inputs[a], torch.randn(b, a).to(kind)) for a, b in shapes]

        def multiply() -> None:
            for x, weight in weights:
                functional.linear(x, weight)

    return multiply


def packed(inside: int, outside: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    weight = torch.ones(outside, inside, dtype=torch.int8)
    weight = torch.ops.onednn.qlinear_prepack(weight, None)
    return weight, torch.ones(outside), torch.zeros(outside, dtype=torch.int32)


if __name__ == "__main__":
    serve(Floor())
