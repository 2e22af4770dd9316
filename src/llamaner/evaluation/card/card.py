"""From a tagger and its report to README.md."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from llamaner.configuration import Inputs, configuration_of_run
from llamaner.corpus import corpus_size
from llamaner.errors import ConfigurationError
from llamaner.evaluation.card.notes import Notes, is_ours, read_notes, signed
from llamaner.evaluation.card.rendering import Origin, render
from llamaner.evaluation.report import Report
from llamaner.evaluation.systems import read_systems, report_on, training_corpus
from llamaner.files import replace_file
from llamaner.tagger import NerTagger

README = "README.md"


def make_card(
    folder: Path,
    inputs: Inputs,
    *,
    notes: Path | None = None,
    examples: bool = True,
    overwrite: bool = False,
) -> Path:
    """Evaluate the tagger in ``folder`` and write its card; the file that was written.

    Without ``examples`` it has no word of the data. Raises ``ConfigurationError`` where there is a
    README.md that people wrote or edited, unless ``overwrite`` is set.
    """
    path, written = folder / README, Notes() if notes is None else read_notes(notes)
    if path.exists() and not overwrite and not is_ours(path):
        raise ConfigurationError(
            f"{path}: was not written by llamaner, or was edited since; put what is yours into "
            "a file for --notes, then replace it with --overwrite"
        )
    system = read_systems([folder], inputs)[0]
    if system.tagger is None:
        raise ConfigurationError(f"{folder}: is a file; name the folder of a tagger")
    origin, run = origin_of(system.tagger), configuration_of_run(folder)
    if origin.settings is None and run is not None:
        origin = Origin(run.recipe(), origin.size)
    if origin.size is None:
        corpus, _ = training_corpus(system, inputs)
        size = None if corpus is None else corpus_size(corpus.documents)
        origin = Origin(origin.settings, size)
    report = report_on(system, inputs)
    _write(path, render(folder, system.tagger, report, origin, written, examples=examples))
    return path


def write_card(folder: Path, tagger: NerTagger, report: Report) -> bool:
    """Write the card of a tagger that was just trained, from its report on the dev data.

    False where there is a README.md that people wrote or edited: it stays. Raises
    ``ConfigurationError`` where the card cannot be written.
    """
    path = folder / README
    if path.exists() and not is_ours(path):
        return False
    _write(path, render(folder, tagger, report, origin_of(tagger), Notes()))
    return True


def origin_of(tagger: NerTagger) -> Origin:
    """What the tagger itself tells of its training; nothing where that is no sense."""
    about = tagger.config.training
    told = {"settings": about.get("settings"), "size": about.get("train_size")}
    try:
        return TypeAdapter(Origin).validate_python(told)
    except ValidationError:
        return Origin()


def _write(path: Path, text: str) -> None:
    try:
        replace_file(path, signed(text).encode("utf-8", "replace"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written ({error.strerror})") from None
