"""Training: a configuration in, a tagger out."""

from llamaner.training.checkpoints import resumed_configuration
from llamaner.training.run import TrainingResult, train

__all__ = [
    "TrainingResult",
    "resumed_configuration",
    "train",
]
