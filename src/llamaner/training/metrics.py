"""Metrics of a run, for people (TensorBoard) and for programs (JSON lines)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter


class MetricsLog:
    """``metrics.jsonl``, a line an epoch, and TensorBoard events in ``tensorboard/``."""

    def __init__(self, folder: Path, history: Sequence[dict[str, Any]]) -> None:
        """Begin after ``history``; lines of epochs that a killed run did not finish go away."""
        self._path = folder / "metrics.jsonl"
        self._path.write_text("".join(json.dumps(row) + "\n" for row in history))
        self._events = SummaryWriter(
            str(folder / "tensorboard"), purge_step=len(history) + 1, flush_secs=10
        )

    def epoch(self, row: dict[str, Any]) -> None:
        """Write the metrics of one epoch."""
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        for name, value in _curves(row):
            self._events.add_scalar(name, value, row["epoch"])

    def close(self) -> None:
        """Write what is buffered."""
        self._events.close()


def _curves(row: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Everything in a row that is a curve over epochs; a dictionary is one curve an entry."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from ((f"{name}/{part}", number) for part, number in value.items())
        elif name != "epoch":
            yield name, value
