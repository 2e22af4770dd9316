"""The floor: the matrix arithmetic that the blocks need, at this machine's rate of doing it.

The operations are those of the linear layers and of causal attention (half of all pairs) over the
subwords that are read, without padding. The rate is that of the linear layers' products, with the
batch, type and threads of the backbone, in PyTorch.
"""

import json
import time
from pathlib import Path

import torch
from torch.nn import functional
from worker import Contender, serve


class Floor(Contender):
    def prepare(
        self, *, backbone: str, rows: list[int], blocks: int, precision: str, batch: int
    ) -> dict:
        config = json.loads(Path(backbone, "config.json").read_text())
        width, inner = config["hidden_size"], config["intermediate_size"]
        heads = config["num_attention_heads"]
        head = config.get("head_dim") or width // heads
        queries, keys = heads * head, config["num_key_value_heads"] * head
        shapes = [(width, queries), (width, keys), (width, keys), (queries, width)]
        shapes += [(width, inner), (width, inner), (inner, width)]
        dtype = getattr(torch, precision)
        inputs = {size: torch.randn(batch, size).to(dtype) for size in (width, queries, inner)}
        self.products = [(inputs[a], torch.randn(b, a).to(dtype)) for a, b in shapes]
        a_subword = 2 * sum(a * b for a, b in shapes)
        self.operations = batch * a_subword
        attention = sum(2 * row * row * queries for row in rows)
        self.needed = blocks * (a_subword * sum(rows) + attention)
        return {"operations": self.needed, "subwords": sum(rows)}

    @torch.inference_mode()
    def round(self, least: float) -> dict:
        """The seconds that all operations take at the rate of this round."""
        started, passes = time.perf_counter(), 0
        while not passes or time.perf_counter() - started < least:
            for x, weight in self.products:
                functional.linear(x, weight)
            passes += 1
        rate = passes * self.operations / (time.perf_counter() - started)
        return {"seconds": self.needed / rate, "rate": rate}


if __name__ == "__main__":
    serve(Floor())
