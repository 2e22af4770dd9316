"""How good a tagger is, which of two is better, and the card that tells it to others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from llamaner.configuration import Inputs
from llamaner.terminal import console


def evaluate(
    models: Annotated[list[Path], Parameter(negative="")],
    /,
    *,
    inputs: Annotated[Inputs, Parameter(name="*")] = Inputs(),  # noqa: B008
    report: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Score taggers, or predictions of any system, on annotated data.

    Example: `llamaner evaluate my-tagger --data test.conll --report report.html`

    Example: `llamaner evaluate predictions.conll` (the last two columns are gold and predicted)

    Parameters
    ----------
    models
        Folders of taggers, or files of predictions: CoNLL columns, or JSON lines with confidences.
    report
        HTML file to write: errors in their sentences, plots, likely annotation mistakes.
    as_json
        Print everything that the report shows, as JSON.

    """
    from llamaner.evaluation import (
        evaluate_predictions,
        notes_on,
        read_systems,
        report_on,
        require_page,
        write_page,
    )
    from llamaner.reports import output, print_evaluation, print_json

    if report is not None:
        require_page(report)
    systems = read_systems(models, inputs)
    if report is not None or as_json:
        reports = [report_on(system, inputs) for system in systems]
    if report is not None:
        write_page(report, reports)
    if as_json:
        shown = [found.to_dict() for found in reports]
        print_json(shown[0] if len(shown) == 1 else shown)
        return 0
    for system in systems:
        if len(systems) > 1:
            output.print(system.predictions.name, style="bold")
        print_evaluation(evaluate_predictions(system.predictions))
        for note in notes_on(system.predictions):
            console.print(f"note: {note}")
    return 0


def compare(
    first: Path,
    second: Path,
    /,
    *,
    inputs: Annotated[Inputs, Parameter(name="*")] = Inputs(),  # noqa: B008
    report: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Say how much better one tagger is than another, and how sure that is.

    Example: `llamaner compare old-tagger new-tagger --data test.conll --report report.html`

    Parameters
    ----------
    first
        Folder of a tagger, or a file of predictions: CoNLL columns, or JSON lines.
    second
        The other one.
    report
        HTML file to write, with the sentences where they differ.
    as_json
        Print everything that the report shows, as JSON.

    """
    from llamaner.evaluation import compare as compare_systems
    from llamaner.evaluation import read_systems, report_on, require_page, write_page
    from llamaner.reports import print_comparison, print_json

    if report is not None:
        require_page(report)
    systems = read_systems([first, second], inputs)
    comparison = compare_systems(*(system.predictions for system in systems))
    if report is not None or as_json:
        reports = [report_on(system, inputs) for system in systems]
    if report is not None:
        write_page(report, reports, comparison)
    if as_json:
        shown = [found.to_dict() for found in reports]
        print_json({"comparison": comparison.to_dict(), "reports": shown})
    else:
        print_comparison(comparison)
    return 0


def card(
    model: Path,
    /,
    *,
    inputs: Annotated[Inputs, Parameter(name="*")] = Inputs(),  # noqa: B008
    notes: Path | None = None,
    examples: bool = True,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Write the model card of a tagger, README.md in its folder, with its scores on --data.

    Example: `llamaner card my-tagger --data test.conll --notes notes.md`

    `llamaner train` writes one with the scores on the dev data.

    Parameters
    ----------
    model
        Folder of the tagger.
    notes
        Markdown that goes into the card: whatever it cannot know. YAML front matter, as
        `license`, goes into that of the card.
    examples
        Show errors, with at most three words of the data on either side; --no-examples counts them.
    overwrite
        Replace a README.md that people wrote or edited, too.

    """
    from llamaner.evaluation import make_card
    from llamaner.reports import output

    path = make_card(model, inputs, notes=notes, examples=examples, overwrite=overwrite)
    output.print(f"the card is in {path}")
    return 0
