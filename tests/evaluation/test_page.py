"""The page as it is in a browser: filters, exports, themes, phones, paper; nothing is asked for."""

import csv
import io
import json

import pytest

from llamaner.errors import ConfigurationError
from llamaner.evaluation import analyse, compare, page, require_page, write_page


@pytest.fixture
def many(predictions_of):
    """Three hundred sentences with an error each."""
    words = ["Ana", "flew", "to", "Paris", "."]
    rows = [
        ([*words, f"word{number}"], [("LOC", 3, 4)], [("ORG", 3, 4, 0.5 + number / 1000)])
        for number in range(300)
    ]
    return predictions_of(*[rows[i : i + 10] for i in range(0, 300, 10)])


@pytest.fixture
def opened(visit, tmp_path):
    """A function that opens the page of predictions, and of the comparison of two."""
    visits = []

    def open_page(*systems, **options):
        reports = [analyse(system) for system in systems]
        write_page(
            tmp_path / "report.html", reports, compare(*systems) if len(systems) == 2 else None
        )
        visits.append(visit(**options))
        visits[-1].page.goto((tmp_path / "report.html").as_uri())
        return visits[-1].page

    yield open_page
    for made in visits:
        assert made.errors == []
        assert made.requests == [(tmp_path / "report.html").as_uri()]


def shown(root):
    return root.locator(".range").first.text_content()


def test_errors_are_filtered_by_kind_label_and_search(opened, mixed):
    errors = opened(mixed).locator("[data-browser=errors]")
    assert shown(errors) == "1 to 5 of 5"
    errors.locator("[name=kind]").select_option("missed")
    assert eventually(errors, "1 to 1 of 1")
    assert "gold LOC" in errors.locator(".cards li").text_content()
    errors.locator("[type=reset]").click()
    assert eventually(errors, "1 to 5 of 5")
    errors.locator("[name=gold]").select_option("=")
    assert eventually(errors, "1 to 1 of 1")
    errors.locator("[type=reset]").click()
    errors.locator("[name=label]").select_option("=ORG")
    assert eventually(errors, "1 to 2 of 2")
    errors.locator("[name=search]").fill("nothing like it")
    assert eventually(errors, "none fits")
    errors.locator("[name=search]").fill("")
    errors.locator("[name=label]").select_option("")
    errors.locator("[name=order]").select_option("high")
    assert eventually(errors, "1 to 5 of 5")
    assert "95%" in errors.locator(".cards li").first.text_content()


def eventually(root, told):
    root.page.wait_for_function(
        "([root, told]) => root.querySelector('.range').textContent === told",
        arg=[root.element_handle(), told],
        timeout=30_000,
    )
    return True


def test_a_number_of_the_tables_shows_its_errors(opened, mixed):
    page = opened(mixed)
    errors = page.locator("[data-browser=errors]")
    page.locator(".confusion button[data-gold='=LOC'][data-found='=PER']").click()
    assert eventually(errors, "1 to 1 of 1")
    assert errors.locator(".cards b").text_content() == "wrong label"
    page.locator("button[data-kind=missed]").focus()
    page.keyboard.press("Enter")
    assert eventually(errors, "1 to 1 of 1")
    assert errors.locator(".cards b").text_content() == "missed"


def test_text_is_text_and_marks_are_where_they_belong(opened, mixed):
    page = opened(mixed)
    card = page.locator("[data-browser=errors] .cards li").last
    text = card.locator(".sentence").text_content()
    assert text.startswith(
        "</script><img src=x onerror=alert(1)> 👩‍🚀found <i>X</i> 40% &lt;b&gt; "
    )
    assert [mark.text_content() for mark in card.locator("mark").all()] == ["👩‍🚀", "Oslo"]
    assert page.locator("img, i").count() == 0


def test_pages_of_errors(opened, many):
    errors = opened(many).locator("[data-browser=errors]")
    assert errors.locator(".cards li").count() == 20
    errors.locator("[name=next]").first.click()
    assert shown(errors) == "21 to 40 of 300"
    errors.locator("[name=search]").fill("WORD299")
    assert eventually(errors, "1 to 1 of 1")
    assert errors.locator("[name=next]").first.is_disabled()


def test_likely_mistakes_are_exported(opened, mixed):
    page = opened(mixed)
    mistakes = page.locator("[data-browser=mistakes]")
    assert shown(mistakes) == "1 to 1 of 1"
    mistakes.locator("[name=minimum]").fill("0.3")
    assert eventually(mistakes, "1 to 4 of 4")
    rows = list(csv.DictReader(io.StringIO(download(page, "csv").removeprefix("\ufeff"))))
    lines = [json.loads(line) for line in download(page, "jsonl").splitlines()]
    assert [float(row["suspicion"]) for row in rows] == [0.95, 0.7, 0.6, 0.4]
    assert [row["found_text"] for row in rows] == [line["found_text"] for line in lines]
    assert lines[-1]["found_text"] == "👩‍🚀"


def download(page, name):
    with page.expect_download() as waiting:
        page.locator(f"[data-browser=mistakes] [name={name}]").click()
    return waiting.value.path().read_text("utf-8")


def test_cells_that_would_be_formulas_are_made_text(opened, predictions_of):
    row = (["=1+1"], [("A", 0, 1)], [("B", 0, 1, 0.99)])
    page = opened(predictions_of([row]))
    assert '"\'=1+1"' in download(page, "csv")
    assert json.loads(download(page, "jsonl"))["found_text"] == "=1+1"


def test_the_threshold_for_a_wanted_precision(opened, mixed):
    page = opened(mixed)
    page.locator("[name=precision]").fill("80")
    told = page.locator(".threshold output").text_content()
    point = analyse(mixed).calibration.threshold_for(0.8)
    assert f"Threshold {point.threshold:.4f} " in told
    page.locator("[name=precision]").fill("100.5")
    assert page.locator(".threshold output").text_content() == "No threshold gives this precision."


def test_without_confidence_its_parts_say_why_they_are_missing(opened, predictions_of):
    page = opened(predictions_of([(["a"], [("A", 0, 1)], [("B", 0, 1)])]))
    assert "have no confidences" in page.locator("#confidence-0").text_content()
    assert page.locator("[data-browser=mistakes], .threshold").count() == 0
    assert page.locator("[data-browser=errors] .cards li").count() == 1


def test_two_systems_are_compared(opened, mixed, predictions_of):
    rows = [
        (list(pair.gold.sentence.words), [tuple(s) for s in pair.gold.sentence.label_spans], [])
        for pair in mixed.pairs
    ]
    other = predictions_of(rows[:2], rows[2:4], rows[4:5], rows[5:7], rows[7:], name="nothing")
    page = opened(mixed, other)
    differences = page.locator("[data-browser=differences]")
    assert shown(differences) == "1 to 8 of 8"
    assert differences.locator(".mark.wrong").count() == 4
    differences.locator("[name=verdict]").select_option("only first right")
    assert eventually(differences, "1 to 3 of 3")
    assert not page.locator("#system-1").is_visible()
    page.get_by_role("button", name="nothing").click()
    assert page.locator("#system-1").is_visible()
    assert not page.locator("#comparison").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_theme_and_fits_a_phone(opened, mixed, scheme):
    page = opened(mixed, color_scheme=scheme, viewport={"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    ink = page.evaluate("getComputedStyle(document.querySelector('svg text')).fill")
    assert ink == page.evaluate("getComputedStyle(document.body).color")


def test_it_prints_all_systems_in_dark_letters(opened, mixed):
    page = opened(mixed, mixed, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.locator("#system-0").is_visible()
    assert page.locator("#system-1").is_visible()
    assert not page.locator(".filters").first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.pdf().startswith(b"%PDF")


def test_it_reads_without_scripts(visit, mixed, tmp_path):
    write_page(tmp_path / "report.html", [analyse(mixed)])
    page = visit(java_script_enabled=False).page
    page.goto((tmp_path / "report.html").as_uri())
    assert page.locator("#scores-0 table").first.is_visible()
    assert "needs JavaScript" in page.locator("noscript").text_content()


def test_where_it_cannot_be_written_is_told_first(tmp_path, monkeypatch):
    with pytest.raises(ConfigurationError, match="is a folder"):
        require_page(tmp_path)
    with pytest.raises(ConfigurationError, match="there is no"):
        require_page(tmp_path / "nowhere" / "report.html")
    monkeypatch.setattr(page.page, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r'pip install "llamaner\[report\]"'):
        require_page(tmp_path / "report.html")
