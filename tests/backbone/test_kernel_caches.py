"""What a process keeps of each shape of a product stays bounded."""

import os
import subprocess
import sys

import pytest

READ_MANY_SHAPES = """
import sys
import psutil, torch
from llamaner.backbone.kernel_caches import bound_kernel_caches
from torch.nn.functional import linear

if sys.argv[1] == "bounded":
    bound_kernel_caches()
weights = torch.randn(64, 64, dtype=torch.bfloat16)
before = psutil.Process().memory_info().rss
for rows in range(16, 1616):
    linear(torch.zeros(rows, 64, dtype=torch.bfloat16), weights)
print((psutil.Process().memory_info().rss - before) / 2**20)
"""


def grown(mode: str, **environment: str) -> float:
    """MiB after products of 1,600 shapes, in a process of its own."""
    names = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, "-c", READ_MANY_SHAPES, mode]
    done = subprocess.run(
        command, env=clean | environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def test_many_shapes_take_little_memory_unless_the_environment_has_numbers() -> None:
    without = grown("unbounded")
    if without < 50:
        pytest.skip("this processor's kernels take little memory")
    assert grown("bounded") < without / 2
    many = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024", "LRU_CACHE_CAPACITY": "1024"}
    assert grown("bounded", **many) > without / 2
