"""The page in a real Chromium: what people do, and what a text could try to do."""

import csv
import json

import pytest

from llamaner.corpus import read_conll, read_jsonl, segment
from llamaner.service import ApiKeys

TEXT = "Ana Lučić 👩‍🚀 flew to Paris. Nobody followed.\n\nJordan won in Lyon."

NAUGHTY = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "<svg/onload=window.hacked=1>",
    "<svg><animate onbegin=window.hacked=1 attributeName=x dur=1s>",
    '<iframe srcdoc="<script>parent.hacked = 1</script>"></iframe>',
    '<a href="javascript:window.hacked=1" id=a>Oslo</a>',
    '<math><mtext></table><mglyph><style><!--</style><img title="--&gt;&lt;img src=x onerror=h()">',
    "'\"><details open ontoggle=window.hacked=1>",
    "</textarea></mark></div><script>window.hacked=1</script>",
    "&lt;b&gt;Oslo&lt;/b&gt; &amp;amp; &#x3C;script&#x3E; &nbsp;",
    "{{constructor.constructor('window.hacked=1')()}} ${window.hacked=1} <%= 7*7 %> #{7*7}",
    "javascript:window.hacked=1 //Oslo",
    "data:text/html,<script>window.hacked=1</script>",
    "\u202eolsO ni saw anA\u202c \u2066Oslo\u2069 \u200e\u200f",
    "e\u0301\u0301\u0301 \u0301 Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢",
    "Oslo\u0000Paris \u0007\u001b[31m\u007f\u0085\u2028\u2029",
    "👩‍👩‍👧‍👦 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🇳🇴 𝒪𝓈𝓁ℴ 𐍈 \ufeff\u200b\u2060",
    "שלום Oslo مرحبا Paris 北京 नमस्ते Ελλάδα",
    "__proto__ constructor toString hasOwnProperty null undefined NaN",
    '=HYPERLINK("http://127.0.0.1/"; "Oslo") +1 -1 @SUM(1) \t|cmd',
    "' OR 1=1 -- ; DROP TABLE entities; ../../etc/passwd %00 %3Cscript%3E",
    "x" * 3000,
]


@pytest.fixture(scope="module")
def lavish(run_server, tagger):
    """A server whose tagger takes every word for an entity."""
    before = tagger.network.emit.bias.detach().clone()
    tagger.network.emit.bias.data[tagger.network.crf.tags.index("S-ORG")] += 100
    with run_server(lambda: tagger) as here:
        here.wait_until(lambda: here.ask("GET", "/readyz").status == 200)
        yield here
    tagger.network.emit.bias.data.copy_(before)


@pytest.fixture
def opened(visit, service):
    """The page, loaded; no error may be told by the time that a test ends."""
    made = visit(accept_downloads=True)
    made.page.goto(service.address)
    yield made
    assert made.errors == []
    assert all(request.startswith((service.address, "blob:")) for request in made.requests)


# The policy of the page lets nothing be evaluated later on, so these tests wait for elements alone.
def tag(page, text):
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Tag").click()
    page.wait_for_selector("#tag:not([disabled])")
    page.wait_for_selector("#result:not([hidden])")


def shown(page):
    """Text and label of each entity that is marked."""
    return page.locator("mark:not(.off)").evaluate_all(
        "marks => marks.map(m => [m.querySelector('.entity').textContent,"
        " m.querySelector('.chip').textContent])"
    )


def text_of(page):
    """The text of the first document, without labels."""
    return page.locator(".document").first.evaluate(
        "box => [...box.childNodes].map(n => n.nodeType === 3 ? n.data :"
        " n.querySelector('.entity').textContent).join('')"
    )


def set_threshold(page, percent):
    page.get_by_label("Least confidence").fill(str(percent))


def test_type_see_marks_and_move_the_slider_without_a_request(opened, tagger):
    page = opened.page
    tag(page, TEXT)
    found = tagger.tag(TEXT)
    assert shown(page) == [[e.text, e.label] for e in found]
    assert text_of(page) == TEXT
    asked = len(opened.requests)
    confidences = sorted(e.confidence for e in found)
    middle = int(confidences[len(found) // 2] * 100)
    set_threshold(page, middle)
    expected = [[e.text, e.label] for e in found if e.confidence * 100 >= middle]
    assert 0 < len(expected) < len(found)
    assert shown(page) == expected
    assert page.locator("#rows tr").count() == len(expected)
    assert f"{len(expected)} of {len(found)}" in page.locator("#count").inner_text()
    page.get_by_role("checkbox", name="PER").uncheck()
    assert shown(page) == [e for e in expected if e[1] != "PER"]
    assert len(opened.requests) == asked


def test_confidence_is_shown_on_hover_and_to_the_keyboard(opened, tagger):
    page = opened.page
    page.get_by_label("Text", exact=True).fill(TEXT)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("mark")
    found = tagger.tag(TEXT)
    page.locator("mark").nth(1).hover()
    assert f"{found[1].confidence * 100:.1f}%" in page.get_by_role("tooltip").inner_text()
    page.locator("mark").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    at = page.evaluate("document.activeElement.querySelector('.entity').textContent")
    assert at == found[1].text
    assert found[1].label in page.get_by_role("tooltip").inner_text()
    assert page.locator("mark[tabindex='0']").count() == 1


def test_examples_and_the_table(opened):
    page = opened.page
    page.get_by_role("button", name="News").click()
    page.wait_for_selector("#rows tr")
    page.get_by_role("button", name="Confidence").click()
    page.wait_for_selector("th[aria-sort=ascending]")
    values = [int(v.rstrip("%")) for v in page.locator("#rows td:nth-child(3)").all_inner_texts()]
    assert values == sorted(values)
    page.locator("#rows button").last.click()
    name = page.locator("#rows button").last.inner_text()
    assert page.evaluate("document.activeElement.querySelector('.entity').textContent") == name


def saved(page, kind, folder):
    page.get_by_label("Format").select_option(kind)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def test_downloads_are_files_that_the_package_reads(opened, tagger, tmp_path):
    page = opened.page
    tag(page, TEXT)
    set_threshold(page, 50)
    kept = [e for e in tagger.tag(TEXT) if e.confidence >= 0.5]
    assert kept
    (document,) = read_jsonl(saved(page, "jsonl", tmp_path)).documents
    assert document.text == TEXT
    assert [(e.text, e.label, e.start) for e in document.entities] == [
        (e.text, e.label, e.start) for e in kept
    ]
    with saved(page, "csv", tmp_path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["text"], r["label"], int(r["end"])) for r in rows] == [
        (e.text, e.label, e.end) for e in kept
    ]
    columns = read_conll(saved(page, "conll", tmp_path))
    assert [s.words for s in columns.sentences] == [s.words for s in segment(TEXT)]
    assert sum(len(s.entities) for s in columns.sentences) == len(kept)


FILES = {
    "a.txt": ("Ana flew to Oslo.\r\nJordan won.", ["Ana flew to Oslo.\r\nJordan won."]),
    "b.jsonl": (
        '{"id": "x", "text": "Ana flew."}\n{"text": "Jordan 👩‍🚀 won."}\n',
        ["Ana flew.", "Jordan 👩‍🚀 won."],
    ),
    "c.conll": (
        "-DOCSTART- -X- O\n\nAna NN B-PER\nflew VB O\n\nJordan NN O\n\n"
        "-DOCSTART- -X- O\n\nOslo NN O\n",
        ["Ana flew\nJordan", "Oslo"],
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_drop_a_file(opened, name, tmp_path):
    content, texts = FILES[name]
    page = opened.page
    data = page.evaluate_handle(
        "([content, name]) => { const data = new DataTransfer();"
        " data.items.add(new File([content], name)); return data; }",
        [content, name],
    )
    page.locator("#text").dispatch_event("drop", {"dataTransfer": data})
    page.wait_for_selector(".document")
    documents = read_jsonl(saved(page, "jsonl", tmp_path)).documents
    assert [d.text for d in documents] == texts
    if name == "c.conll":
        words = [s.words for d in documents for s in d.sentences]
        assert words == [("Ana", "flew"), ("Jordan",), ("Oslo",)]


def test_what_is_wrong_with_a_file_is_told(opened, tmp_path):
    page = opened.page
    for name, content, told in [
        ("bad.jsonl", b'{"text": 3}\n', "Line 1"),
        ("bad.txt", b"caf\xe9", "UTF-8"),
        ("empty.conll", b"\n\n", "no word"),
    ]:
        (tmp_path / name).write_bytes(content)
        page.locator("#file").set_input_files(tmp_path / name)
        page.wait_for_selector("#error:not(:empty)")
        assert told in page.get_by_role("alert").inner_text()


def test_naughty_strings_stay_text(visit, lavish, tmp_path):
    made = visit(accept_downloads=True)
    page = made.page
    page.goto(lavish.address)
    (tmp_path / "naughty.jsonl").write_text(
        "".join(json.dumps({"id": text, "text": text}) + "\n" for text in NAUGHTY)
    )
    page.locator("#file").set_input_files(tmp_path / "naughty.jsonl")
    page.locator(".document").nth(len(NAUGHTY) - 1).wait_for()
    texts = page.locator(".document").evaluate_all(
        "boxes => boxes.map(box => [...box.childNodes].map(n => n.nodeType === 3 ? n.data :"
        " n.querySelector('.entity').textContent).join(''))"
    )
    assert texts == NAUGHTY
    assert page.locator("mark").count() > len(NAUGHTY)
    kinds = page.locator(".document *").evaluate_all("all => [...new Set(all.map(e => e.tagName))]")
    assert sorted(kinds) == ["MARK", "SPAN"]
    for text in NAUGHTY[:5]:
        tag(page, text)
        assert text_of(page) == text
    assert page.evaluate("window.hacked") is None
    assert [d.text for d in read_jsonl(saved(page, "jsonl", tmp_path)).documents] == NAUGHTY[4:5]
    with saved(page, "csv", tmp_path).open(encoding="utf-8", newline="") as file:
        assert not any(row["text"].startswith(("=", "+", "-", "@")) for row in csv.DictReader(file))
    assert made.errors == []
    assert all(request.startswith((lavish.address, "blob:")) for request in made.requests)


CONTRAST = """() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => c.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    for (let at = e; at; at = at.parentElement) {
      const c = parse(getComputedStyle(at).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const worst = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !e.checkVisibility() || e.closest(".hidden")) continue;
    const both = [light(parse(getComputedStyle(e).color)), light(behind(e))];
    const [a, b] = both.sort((x, y) => y - x);
    worst.push([(a + 0.05) / (b + 0.05), e.tagName + "." + e.className]);
  }
  return worst.sort((x, y) => x[0] - y[0]).slice(0, 3);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_is_readable_in_both_themes_and_on_a_phone(visit, service, scheme):
    made = visit(color_scheme=scheme, viewport={"width": 360, "height": 740})
    page = made.page
    page.goto(service.address)
    tag(page, TEXT + " " + "x" * 300)
    page.evaluate(  # every label colour there is
        "() => document.querySelectorAll('mark').forEach((m, i) => { m.className = `c${i % 8}`; })"
    )
    worst = page.evaluate(CONTRAST)
    assert worst[0][0] >= 4.5, worst
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360, f"{wide} pixels wide on a phone"
    assert made.errors == []


def test_a_key_is_asked_for_where_one_is_needed(run_server, tagger, visit):
    key = "key-0123456789abcdef"
    with run_server(lambda: tagger, keys=ApiKeys([key])) as here:
        here.wait_until(lambda: here.ask("GET", "/readyz").status == 200)
        page = visit().page
        page.goto(here.address)
        page.get_by_label("Text", exact=True).fill(TEXT)
        page.get_by_role("button", name="Tag").click()
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Tag").click()
        page.wait_for_selector("mark")
