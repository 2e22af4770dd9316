"""How good a tagger is."""

from llamaner.evaluation.scores import (
    Evaluation,
    Score,
    Scores,
    bootstrap_interval,
    conlleval_scores,
    evaluate,
    strict_scores,
)
from llamaner.evaluation.tagging import evaluate_features, evaluate_tagger

__all__ = [
    "Evaluation",
    "Score",
    "Scores",
    "bootstrap_interval",
    "conlleval_scores",
    "evaluate",
    "evaluate_features",
    "evaluate_tagger",
    "strict_scores",
]
