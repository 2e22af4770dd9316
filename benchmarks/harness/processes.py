"""Workers in processes of their own, in environments that are made when they are first needed."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / ".bench"
WORKERS = Path(__file__).parents[1] / "workers"
OURS = "ours"
"""The environment that runs the harness."""


class ContenderError(Exception):
    """A contender could not be installed or run; says why in a line."""


def python_of(environment: str) -> str:
    """The interpreter of an environment, made if it is not there yet or its pins have changed."""
    if environment == OURS:
        return sys.executable
    pins = WORKERS / "requirements" / f"{environment}.txt"
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()[:12]
    folder = FOLDER / f"{environment}-{digest}"
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        say(f"installing {pins.name} into {folder}")
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--requirement", str(pins)])
        done.touch()
    return str(python)


def run_script(environment: str, threads: int, *arguments: object) -> None:
    """Run a script of the workers' folder to its end."""
    script, *rest = map(str, arguments)
    _run(
        [python_of(environment), str(WORKERS / script), *rest],
        env=_variables(environment, threads),
    )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Contender:
    """A worker's script, the environment that it needs, and what it is prepared with."""

    script: str
    environment: str = OURS
    options: Mapping[str, Any] = field(default_factory=dict)


class Worker:
    """A running contender: ask it for one thing at a time."""

    def __init__(self, name: str, contender: Contender, threads: int, seconds: float) -> None:
        """``seconds`` is the longest that an answer may take."""
        self.name, self.seconds = name, seconds
        FOLDER.mkdir(exist_ok=True)
        self.log = FOLDER / f"{Path(contender.script).stem}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [python_of(contender.environment), str(WORKERS / contender.script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=_variables(contender.environment, threads),
            )

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The answer to a command. Raises ``ContenderError`` where there is none."""
        timer = threading.Timer(self.seconds, self.process.kill)
        timer.start()
        try:
            self.process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if not line:
            raise ContenderError(f"ended without an answer to {command!r} (see {self.log})")
        answer = json.loads(line)
        if "error" in answer:
            raise ContenderError(f"{answer['error']} (see {self.log})")
        return answer

    def close(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _variables(environment: str, threads: int) -> dict[str, str]:
    """As here, but with so many threads, no hub, and for peers nothing of ours."""
    variables = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if environment != OURS:
        variables.pop("PYTHONPATH", None)
    numbers = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    return {
        **variables,
        **dict.fromkeys(numbers, str(threads)),
        "HF_HUB_OFFLINE": "1",
        "FLAIR_CACHE_ROOT": str(FOLDER / "flair"),
        "PYTHONWARNINGS": "ignore",
    }


def _run(command: list[str], **options: Any) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
        raise ContenderError(
            " ".join(errors) or f"{' '.join(command)} ended with {done.returncode}"
        )
