"""How good a tagger is, where it errs, and how much better it is than another."""

from llamaner.configuration import Inputs
from llamaner.evaluation.breakdowns import Breakdown
from llamaner.evaluation.calibration import Calibration
from llamaner.evaluation.card import make_card, write_card
from llamaner.evaluation.comparison import Comparison, Difference, compare
from llamaner.evaluation.confusion import Confusion
from llamaner.evaluation.disagreements import Disagreement
from llamaner.evaluation.page import can_write_pages, require_page, write_page
from llamaner.evaluation.pairs import Predictions
from llamaner.evaluation.prediction_files import TaggedData, read_predictions, read_tagged
from llamaner.evaluation.report import Report, analyse, notes_on
from llamaner.evaluation.scores import (
    Evaluation,
    Score,
    Scores,
    conlleval_scores,
    evaluate,
    evaluate_predictions,
    strict_scores,
)
from llamaner.evaluation.systems import System, read_systems, report_on
from llamaner.evaluation.tagging import (
    evaluate_features,
    evaluate_tagger,
    predict,
    words_in_subwords,
)
from llamaner.evaluation.views import View

__all__ = [
    "Breakdown",
    "Calibration",
    "Comparison",
    "Confusion",
    "Difference",
    "Disagreement",
    "Evaluation",
    "Inputs",
    "Predictions",
    "Report",
    "Score",
    "Scores",
    "System",
    "TaggedData",
    "View",
    "analyse",
    "can_write_pages",
    "compare",
    "conlleval_scores",
    "evaluate",
    "evaluate_features",
    "evaluate_predictions",
    "evaluate_tagger",
    "make_card",
    "notes_on",
    "predict",
    "read_predictions",
    "read_systems",
    "read_tagged",
    "report_on",
    "require_page",
    "strict_scores",
    "words_in_subwords",
    "write_card",
    "write_page",
]
