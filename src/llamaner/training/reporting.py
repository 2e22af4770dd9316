"""The report of the best epoch, beside the tagger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llamaner.corpus import Sentence
from llamaner.evaluation import (
    Predictions,
    TaggedData,
    analyse,
    can_write_pages,
    words_in_subwords,
    write_page,
)
from llamaner.tagger import NerTagger
from llamaner.terminal import console

NAME = "report.html"


def write_report(
    output: Path,
    gold: TaggedData,
    found: Predictions,
    tagger: NerTagger,
    training: Sequence[Sentence],
) -> None:
    """Write ``report.html`` into the tagger's folder, where the ``report`` extra is installed."""
    if not can_write_pages():
        console.print(f'no {NAME}: it needs pip install "llamaner[report]"')
        return
    sentences = [tagged.sentence for tagged in gold.sentences]
    subwords = words_in_subwords(tagger.backbone.tokenizer, sentences)
    write_page(
        output / NAME, [analyse(found, data=gold.path, training=training, subwords=subwords)]
    )
    console.print(f"report of the best epoch on the dev data: {output / NAME}")
