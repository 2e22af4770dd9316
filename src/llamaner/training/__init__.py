"""Training: a configuration in, a tagger out."""

from llamaner.training.checkpoints import is_run
from llamaner.training.processes import is_first_process
from llamaner.training.run import TrainingResult, train

__all__ = [
    "TrainingResult",
    "is_first_process",
    "is_run",
    "train",
]
