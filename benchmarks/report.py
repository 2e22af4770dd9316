"""Measure how long the report of many sentences takes: to build, to open, and to filter.

    python benchmarks/report.py --data train.conll --sentences 50000

The data are repeated up to so many sentences. Predictions are the gold annotation with about a
tenth of its entities changed, each with a made-up confidence. Opening and filtering are measured
in Chromium where it is installed: the longest that the page's own thread was busy at a stretch.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

from llamaner.corpus import (
    Corpus,
    Document,
    LabelSpan,
    Sentence,
    read_corpus,
    write_conll,
    write_jsonl,
)
from llamaner.evaluation import Inputs, read_systems, report_on, write_page

BUSY = """() => { window.busy = 0; new PerformanceObserver(list => {
  for (const entry of list.getEntries()) window.busy = Math.max(window.busy, entry.duration);
}).observe({type: "longtask"}); }"""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--sentences", type=int, default=50_000)
    return parser.parse_args()


def repeated(corpus: Corpus, count: int) -> list[Document]:
    """Whole documents, again and again, until there are so many sentences."""
    documents, total = [], 0
    for document in cycle(corpus.documents):
        if total >= count:
            return documents
        part = tuple(islice(document.sentences, count - total))
        documents.append(Document.from_sentences(part))
        total += len(part)
    return documents


def changed(sentence: Sentence, labels: tuple[str, ...], rng: random.Random) -> Sentence:
    """The sentence as a system with some errors would tag it."""
    spans, confidences = [], []
    for span in sentence.label_spans:
        fate = rng.random()
        if fate < 0.03:
            continue
        if fate < 0.06:
            span = LabelSpan(rng.choice(labels), span.start, span.end)
        elif fate < 0.09 and span.end - span.start > 1:
            span = LabelSpan(span.label, span.start + 1, span.end)
        spans.append(span)
        confidences.append(rng.betavariate(2, 1) if fate < 0.1 else rng.betavariate(30, 1))
    return sentence.with_entities(spans, confidences)


def write_inputs(folder: Path, corpus: Corpus, count: int) -> tuple[Path, Path]:
    """Files with gold and with predictions."""
    rng, documents = random.Random(0), repeated(corpus, count)
    found = [
        Document.from_sentences([changed(s, corpus.labels, rng) for s in document.sentences])
        for document in documents
    ]
    gold, predictions = folder / "gold.conll", folder / "predictions.jsonl"
    write_conll(Corpus(tuple(documents), "BIO"), gold)
    write_jsonl(Corpus(tuple(found)), predictions)
    return gold, predictions


def look(page_file: Path, program: str) -> None:
    """Open the page and use its filters."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        page = browser.new_page()
        started = time.monotonic()
        page.goto(page_file.as_uri())
        page.wait_for_selector("[data-browser=errors] .cards li")
        print(f"opened in {time.monotonic() - started:.1f} s")
        errors = page.locator("[data-browser=errors]")
        for name, act in (
            ("kind", lambda: errors.locator("[name=kind]").select_option("missed")),
            ("label", lambda: errors.locator("[name=label]").select_option(index=1)),
            ("search", lambda: errors.locator("[name=search]").fill("the")),
            ("next page", lambda: errors.locator("[name=next]").first.click()),
        ):
            page.evaluate(BUSY)
            before = errors.locator(".range").first.text_content()
            started = time.monotonic()
            act()
            page.wait_for_function(
                "before => document.querySelector('[data-browser=errors] .range')"
                ".textContent !== before",
                arg=before,
            )
            seconds = time.monotonic() - started
            page.wait_for_timeout(300)
            busy = page.evaluate("window.busy")
            print(f"{name}: shown after {seconds:.2f} s, busy for {busy:.0f} ms at a stretch")
        browser.close()


def main() -> None:
    arguments = parse_arguments()
    corpus = read_corpus(arguments.data)
    with tempfile.TemporaryDirectory() as name:
        gold, predictions = write_inputs(Path(name), corpus, arguments.sentences)
        started, worked = time.monotonic(), time.process_time()
        inputs = Inputs(data=str(gold), train=arguments.data)
        (system,) = read_systems([predictions], inputs)
        report = report_on(system, inputs)
        page = Path(name, "report.html")
        write_page(page, [report])
        seconds, worked = time.monotonic() - started, time.process_time() - worked
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{report.evaluation.sentences:,} sentences, {len(report.errors):,} errors: built in "
            f"{seconds:.1f} s ({worked:.1f} s of processor time), {memory:.1f} GiB, "
            f"{page.stat().st_size / 1e6:.1f} MB",
            flush=True,
        )
        if program := shutil.which("chromium") or shutil.which("chromium-browser"):
            look(page, program)


if __name__ == "__main__":
    main()
