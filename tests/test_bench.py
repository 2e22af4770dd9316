"""What can be wrong in the benchmark's own arithmetic and pages."""

from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def _harness(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)


def test_what_slows_both_does_not_move_their_ratio():
    from harness.statistics import ratio

    found = ratio([3.0, 30.0, 6.0], [1.0, 10.0, 2.0])
    assert (found.value, found.low, found.high) == pytest.approx((3, 3, 3))


def test_the_interval_holds_the_true_ratio_about_as_often_as_it_says():
    from harness.statistics import ratio

    rng = np.random.default_rng(0)
    held = []
    for _ in range(100):
        machine, noise = rng.lognormal(0, 1, 9), rng.lognormal(0, 0.1, (2, 9))
        found = ratio(2 * machine * noise[0], machine * noise[1])
        held.append(found.low <= 2 <= found.high)
    assert 0.88 <= np.mean(held) < 1


def test_rounds_that_one_of_them_lacks_are_refused():
    from harness.statistics import ratio

    with pytest.raises(ValueError, match="2 and 1 rounds"):
        ratio([1.0, 2.0], [1.0])


def test_a_page_keeps_its_prose_and_the_tables_of_other_parts(tmp_path):
    from harness.page import write_page

    page = tmp_path / "page.md"
    page.write_text(
        "before\n<!-- bench: growth -->\nold\n<!-- /bench: growth -->\nbetween\n"
        "<!-- bench: epoch -->\nkept\n<!-- /bench: epoch -->\nafter\n"
    )
    machine = {"date": "", "cpu": "", "threads": 1, "load": 0.0, "python": "", "torch": ""}
    found = {"ours": {"1000": {"words": [1000], "seconds": [2.0], "peak_bytes": 2**20}}}
    write_page(page, {"growth": {"machine": machine, "contenders": found, "ratios": []}})
    text = page.read_text()
    assert "| ours | 1,000 | 500 | 1 |  |" in text
    assert "old" not in text
    prose = ["before", "between", "kept", "after"]
    assert [line for line in text.splitlines() if line in prose] == prose
    write_page(page, {"growth": {"machine": machine, "contenders": found, "ratios": []}})
    assert page.read_text() == text


def test_documents_for_growth_have_the_words_asked_for_and_none_comes_twice(sample):
    from harness.bench import distinct_documents

    documents = list(sample("dev").documents)
    total = sum(len(s) for d in documents for s in d.sentences)
    found = list(distinct_documents(documents, 3 * total + 5))
    assert sum(len(s) for d in found for s in d.sentences) == 3 * total + 5
    assert len({d.text for d in found}) == len(found)
