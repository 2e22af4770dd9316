"""From reports to HTML. Text goes in escaped, data as JSON that no parser takes for markup."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from llamaner import __version__
from llamaner.errors import ConfigurationError
from llamaner.evaluation.comparison import Comparison
from llamaner.evaluation.disagreements import KINDS
from llamaner.evaluation.frames import NEEDED
from llamaner.evaluation.report import LIKELY, Report
from llamaner.evaluation.views import VIEWS
from llamaner.files import replace_file

_WANTED = (0.9, 0.95, 0.98, 0.99)
_FOR_SCRIPTS = ("name", "errors", "sentences")


def can_write_pages() -> bool:
    """Whether the ``report`` extra is installed."""
    return find_spec("matplotlib") is not None


def require_page(path: Path) -> None:
    """Raise ``ConfigurationError`` where a page could not be made, or not be written there."""
    if not can_write_pages():
        raise ConfigurationError(f"an HTML report needs matplotlib: {NEEDED}")
    if path.is_dir():
        raise ConfigurationError(f"{path}: is a folder; name the HTML file to write")
    if not path.absolute().parent.is_dir():
        raise ConfigurationError(f"{path}: cannot be written, there is no {path.parent}")
    if path.is_file() and path.stat().st_size and not _is_page(path):
        raise ConfigurationError(
            f"{path}: holds something else than an HTML page, which would be lost; name another "
            "file for the report"
        )


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip().lower().startswith((b"<!doctype html", b"<html"))


def write_page(path: Path, reports: Sequence[Report], comparison: Comparison | None = None) -> None:
    """Write the page of some reports, and of the comparison of two.

    Raises ``ConfigurationError`` where it cannot be written.
    """
    require_page(path)
    try:
        # What is no Unicode text, as half of a surrogate pair, is shown as a question mark.
        replace_file(path, render(reports, comparison).encode("utf-8", "replace"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written ({error.strerror})") from None


def render(reports: Sequence[Report], comparison: Comparison | None = None) -> str:
    """The page's HTML."""
    from llamaner.evaluation.page import plots

    environment = Environment(
        loader=PackageLoader("llamaner.evaluation.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["svg"] = Markup
    script, style = _file("page.js"), _file("page.css")
    return environment.get_template("page.html.jinja").render(
        reports=reports,
        comparison=comparison,
        data=Markup(_json(_script_data(reports, comparison))),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=Markup(style),
        plots=plots,
        kinds=KINDS,
        kind_counts=_kind_counts,
        view_names=VIEWS,
        wanted=_WANTED,
        likely=LIKELY,
        version=__version__,
    )


def _file(name: str) -> str:
    return files("llamaner.evaluation.page").joinpath(name).read_text("utf-8")


def _script_data(reports: Sequence[Report], comparison: Comparison | None) -> dict[str, Any]:
    """What the page shows on demand; tables and plots are in its HTML."""
    shown = []
    for report in reports:
        whole = report.to_dict()
        part = {name: whole[name] for name in _FOR_SCRIPTS}
        calibrated = whole["calibration"]
        shown.append({**part, "frontier": calibrated["frontier"] if calibrated else None})
    return {"reports": shown, "comparison": comparison.to_dict() if comparison else None}


def _json(value: object) -> str:
    """JSON for a script element: no ``<`` or ``>``, so that nothing in it ends the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _kind_counts(report: Report) -> dict[str, dict[str, int]]:
    """For each label, how many errors of each kind; an error counts under its gold label if any."""
    counts: dict[str, Counter[str]] = {}
    for error in report.errors:
        entity = error.gold or error.found
        if entity is not None:
            counts.setdefault(entity.label, Counter())[error.kind] += 1
    return {label: {kind: counts[label][kind] for kind in KINDS} for label in sorted(counts)}
