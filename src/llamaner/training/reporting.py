"""What is told of the best epoch, beside the tagger: its card, and the report of its errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llamaner.configuration import TrainingConfiguration
from llamaner.corpus import Sentence
from llamaner.evaluation import (
    Predictions,
    Report,
    TaggedData,
    analyse,
    can_write_pages,
    words_in_subwords,
    write_card,
    write_page,
)
from llamaner.tagger import NerTagger
from llamaner.terminal import console

NAME = "report.html"


def report_best_epoch(
    configuration: TrainingConfiguration,
    gold: TaggedData,
    found: Predictions,
    tagger: NerTagger,
    training: Sequence[Sentence],
) -> Report:
    """Write ``README.md``, and where the ``report`` extra is installed ``report.html``."""
    output = configuration.output
    sentences = [tagged.sentence for tagged in gold.sentences]
    subwords = words_in_subwords(tagger.backbone.tokenizer, sentences)
    report = analyse(found, data=gold.path, training=training, subwords=subwords)
    if not write_card(output, tagger, report):
        console.print(
            f"{output}/README.md stays as it is: llamaner did not write it, or it was edited since "
            "(`llamaner card --overwrite` replaces it)"
        )
    if configuration.report:
        _write_page(output / NAME, report)
    return report


def _write_page(path: Path, report: Report) -> None:
    if not can_write_pages():
        console.print(f'no {NAME}: it needs pip install "llamaner[report]"')
        return
    write_page(path, [report])
    console.print(f"report of the best epoch on the dev data: {path}")
