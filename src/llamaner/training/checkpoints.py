"""Checkpoints of a training run: one folder an epoch, complete or not there at all."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import RNG_STATE_NAME, load
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError

from llamaner.configuration import RUN_CONFIGURATION, TrainingConfiguration
from llamaner.errors import CheckpointError
from llamaner.files import replace_file, sync_files

STATE = "state.json"


class RunState(BaseModel):
    """Where a run is after some epochs."""

    model_config = ConfigDict(extra="forbid")

    data: str
    """Digest of the training and dev sentences with their tags, and of the features' key."""
    processes: int = 1
    """How many share the work: each has random numbers of its own."""
    epoch: int = 0
    """Epochs that are done."""
    best_f1: float = -1.0
    best_epoch: int = 0
    history: list[dict[str, Any]] = []
    """One row of metrics an epoch."""


def save_checkpoint(folder: Path, accelerator: Accelerator, state: RunState) -> None:
    """Write the run's state after an epoch, then drop the checkpoints before it.

    All processes of a run call it: each has random states of its own to save. Raises
    ``CheckpointError`` where the disk is full.
    """
    final = folder / f"epoch-{state.epoch:04d}"
    part = folder / f"{final.name}.part"
    if accelerator.is_main_process:
        shutil.rmtree(part, ignore_errors=True)
    accelerator.wait_for_everyone()
    try:
        accelerator.save_state(str(part))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            _finish(part, final, state)
    except (OSError, RuntimeError, SafetensorError) as error:
        shutil.rmtree(part, ignore_errors=True)
        reason = str(error).partition("\n")[0]
        raise CheckpointError(
            f"{final}: cannot be written ({reason}); make room, and go on with --resume after the "
            "last whole epoch"
        ) from error
    accelerator.wait_for_everyone()


def _finish(part: Path, final: Path, state: RunState) -> None:
    (part / STATE).write_text(state.model_dump_json(indent=2) + "\n")
    sync_files(part)
    shutil.rmtree(final, ignore_errors=True)
    os.replace(part, final)
    for other in final.parent.glob("epoch-*"):
        if other != final:
            shutil.rmtree(other)


def last_checkpoint(folder: Path) -> tuple[Path, RunState] | None:
    """The latest complete checkpoint, or ``None``.

    Raises ``CheckpointError`` for one that cannot be read.
    """
    complete = sorted(path for path in folder.glob("epoch-*") if path.suffix != ".part")
    if not complete:
        return None
    path = complete[-1] / STATE
    try:
        return path.parent, RunState.model_validate(json.loads(path.read_text()))
    except (OSError, ValueError, ValidationError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path}: cannot be read ({reason}); start anew") from None


def is_run(folder: Path) -> bool:
    """Whether ``folder`` was made by a run."""
    return (folder / RUN_CONFIGURATION.name).is_file()


def save_configuration(folder: Path, configuration: TrainingConfiguration) -> None:
    """Keep what a run was started with, for ``begun_with``."""
    data = configuration.model_dump_json(indent=2) + "\n"
    replace_file(folder / RUN_CONFIGURATION.name, data.encode())


def begun_with(given: TrainingConfiguration) -> TrainingConfiguration:
    """The configuration that the run in the output folder began with.

    Raises ``CheckpointError`` where there is no run, or ``given`` names other settings.
    """
    path = given.output / RUN_CONFIGURATION
    if not path.is_file():
        raise CheckpointError(
            f"{given.output}: there is no run to resume; start it without --resume"
        )
    try:
        saved = TrainingConfiguration.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path}: cannot be read ({reason}); start anew") from None
    if changed := _changed(given, saved):
        raise CheckpointError(
            f"a run is resumed with the settings it began with; changed: {', '.join(changed)}. "
            "Leave them out, or start anew with --overwrite"
        )
    return saved.model_copy(update={"output": given.output})


def _changed(given: BaseModel, saved: BaseModel) -> list[str]:
    """Settings that were given and are others than before; the output folder may have moved."""
    changed = []
    for name in sorted(given.model_fields_set - {"output"}):
        now, then = getattr(given, name), getattr(saved, name)
        if isinstance(now, BaseModel):
            changed += _changed(now, then)
        elif now != then:
            changed.append(name)
    return changed


def require_same(state: RunState, now: RunState) -> None:
    """Raise ``CheckpointError`` where a run would go on with other data, or other processes."""
    if state.data != now.data:
        raise CheckpointError(
            "the corpus, or the backbone, is no longer what the run began with; start anew with "
            "--overwrite"
        )
    if state.processes != now.processes:
        raise CheckpointError(
            f"the run began in {state.processes} processes, and goes on in as many, not in "
            f"{now.processes}"
        )


def read_random_states(checkpoint: Path, process: int) -> None:
    """Raise an error of some kind where the random states of a process cannot be read."""
    load(str(checkpoint / f"{RNG_STATE_NAME}_{process}.pkl"))
