"""What all workers share: commands come in as JSON lines, and answers go out as JSON lines.

A worker imports nothing of LlamaNER, but for ``ours.py``: it runs in an environment of its own.
"""

import json
import os
import statistics
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

Words = list[str]


class Contender:
    """What is measured. ``prepare`` loads it; the harness then asks for one round at a time."""

    def prepare(self, **options: object) -> dict:
        """Load everything; what is worth telling of it."""
        raise NotImplementedError

    def tag(self) -> None:
        """Tag all sentences once."""
        raise NotImplementedError

    def one(self) -> None:
        """Tag one sentence."""
        raise NotImplementedError

    def round(self, least: float) -> dict:
        """Seconds of tagging all sentences, as often as it takes to last ``least`` seconds."""
        started, passes = time.perf_counter(), 0
        while not passes or time.perf_counter() - started < least:
            self.tag()
            passes += 1
        return {"seconds": (time.perf_counter() - started) / passes}

    def latencies(self, calls: int) -> dict:
        """Seconds of each of so many calls for one sentence."""
        found = []
        for _ in range(calls):
            started = time.perf_counter()
            self.one()
            found.append(time.perf_counter() - started)
        return {"seconds": statistics.median(found), "calls": found}


def read_documents(path: str) -> Iterator[list[tuple[Words, Words]]]:
    """Documents as lists of sentences, each its words and their tags; one document a line."""
    with Path(path).open(encoding="utf-8") as file:
        for line in file:
            yield [(words, tags) for words, tags in json.loads(line)]


def read_sentences(path: str) -> list[tuple[Words, Words]]:
    """All sentences of all documents."""
    return [sentence for document in read_documents(path) for sentence in document]


def threads() -> int:
    """How many threads each contender may use."""
    return int(os.environ["OMP_NUM_THREADS"])


def peak_bytes() -> int:
    """The largest resident set of this process so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (found,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(found.split()[1]) * 1024


def serve(contender: Contender) -> None:
    """Answer commands until there are no more: ``{"command": name, ...arguments}``."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # Libraries may print.
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(contender, request.pop("command"))(**request)
            answer["peak_bytes"] = peak_bytes()
        except Exception as error:
            traceback.print_exc()
            reason = str(error).strip().partition("\n")[0]
            answer = {"error": f"{type(error).__name__}: {reason}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
