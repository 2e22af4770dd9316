"""The report's plots, as SVG that takes its colours from the page.

Each colour here is a stand-in that becomes a CSS variable, so that a plot follows the page from
light to dark; text stays text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llamaner.evaluation.breakdowns import Breakdown
from llamaner.evaluation.calibration import Calibration
from llamaner.evaluation.comparison import Difference
from llamaner.evaluation.scores import Evaluation, Score

_INK, _FAINT, _FIRST, _SECOND = "#010203", "#010204", "#010205", "#010206"
_VARIABLES = {_INK: "--ink", _FAINT: "--line", _FIRST: "--found", _SECOND: "--gold"}
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "llamaner",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "text.color": _INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
_WIDTH = 4.8
_ROW = 0.26


def labels_plot(evaluation: Evaluation, name: str) -> str:
    """Strict F1 of each label with its interval, and conlleval's F1."""
    strict = {"all": evaluation.strict.overall, **evaluation.strict.labels}
    lenient = {"all": evaluation.conlleval.overall, **evaluation.conlleval.labels}
    with rc_context(_STYLE):
        figure, axes = _rows_figure(strict)
        _intervals(axes, list(strict.values()))
        if evaluation.strict != evaluation.conlleval:
            rows = range(len(strict))
            values = [lenient[name].f1 for name in strict]
            axes.plot(values, rows, "x", color=_SECOND, label="conlleval")
            _legend(axes)
        return _svg(figure, name)


def breakdown_plot(breakdown: Breakdown, name: str) -> str:
    """Strict F1 of each group with its interval."""
    with rc_context(_STYLE):
        figure, axes = _rows_figure(breakdown.groups)
        _intervals(axes, list(breakdown.groups.values()))
        return _svg(figure, name)


def reliability_plot(calibration: Calibration, name: str) -> str:
    """Precision against confidence, and how many entities there are of each confidence."""
    bins = [b for b in calibration.bins if b.count]
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 3.4), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        upper.plot([0, 1], [0, 1], "--", color=_INK, linewidth=0.8, label="perfectly calibrated")
        upper.plot([b.confidence for b in bins], [b.precision for b in bins], "o-", color=_FIRST)
        upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="part that is right")
        upper.legend(loc="upper left")
        lower.bar(
            [(b.low + b.high) / 2 for b in calibration.bins],
            [b.count for b in calibration.bins],
            width=0.09,
            color=_FIRST,
        )
        lower.set(xlabel="confidence", ylabel="entities")
        lower.locator_params(axis="y", nbins=2)
        return _svg(figure, name)


def curve_plot(calibration: Calibration, name: str) -> str:
    """Precision and recall for each threshold, and against each other."""
    thresholds = [point.threshold for point in calibration.curve]
    precision = [point.precision for point in calibration.curve]
    recall = [point.recall for point in calibration.curve]
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 2.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot(thresholds, precision, color=_FIRST, label="precision")
        left.plot(thresholds, recall, "--", color=_SECOND, label="recall")
        left.set(xlabel="threshold", xlim=(0, 1), ylim=(0, 1.02))
        left.legend(loc="lower left")
        right.plot(recall, precision, color=_FIRST)
        for axes in (left, right):
            axes.set_xticks([0, 0.5, 1])
        right.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
        return _svg(figure, name)


def differences_plot(differences: Sequence[Difference]) -> str:
    """The difference of F1 for each label, with its interval."""
    with rc_context(_STYLE):
        figure, axes = _rows_figure([d.label or "all" for d in differences])
        axes.set(xlabel="difference of F1")
        axes.axvline(0, color=_INK, linewidth=0.8)
        for row, difference in enumerate(differences):
            if difference.interval is not None:
                axes.plot(difference.interval, (row, row), color=_FIRST, linewidth=2)
            axes.plot(difference.difference, row, "o", color=_FIRST)
        return _svg(figure, "differences")


def _rows_figure(names: Mapping[str, Any] | Sequence[str]) -> tuple[Figure, Axes]:
    """A figure with a row a name, the first on top."""
    figure = Figure(figsize=(_WIDTH, 0.75 + _ROW * len(names)), layout="constrained")
    axes = figure.subplots()
    # A dollar sign in a label is no formula.
    axes.set_yticks(range(len(names)), [_plain(name) for name in names], parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set(xlabel="F1")
    return figure, axes


def _intervals(axes: Axes, scores: Sequence[Score]) -> None:
    for row, score in enumerate(scores):
        if score.interval is not None:
            axes.plot(score.interval, (row, row), color=_FIRST, linewidth=2)
    f1 = [score.f1 for score in scores]
    axes.plot(f1, range(len(scores)), "o", color=_FIRST, label="strict")
    lowest = min(s.interval[0] if s.interval else s.f1 for s in scores)
    axes.set_xlim(min(0.9, lowest) - 0.02, 1.01)


def _legend(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)


def _plain(text: str) -> str:
    """A long label would leave no room for the plot."""
    return text if len(text) <= 28 else f"{text[:27]}…"


def _svg(figure: Figure, name: str) -> str:
    """The figure as an element of a page, its identifiers begun with ``name``."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    svg = stream.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.replace("<svg ", '<svg aria-hidden="true" ', 1)
