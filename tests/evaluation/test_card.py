"""The model card: true figures, whole Markdown whatever the data hold, and nobody's text lost."""

import re
import tomllib

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from llamaner import NerTagger, TrainingConfiguration
from llamaner.configuration import HeadSettings, Inputs
from llamaner.corpus import Corpus, corpus_name, corpus_size, read_corpus, sample_corpus
from llamaner.corpus import write_jsonl as write_lines
from llamaner.errors import ConfigurationError, TaggerError
from llamaner.evaluation import analyse, make_card, read_systems, report_on, write_card
from llamaner.evaluation.card.markdown import escaped

HOSTILE = ("A|B", "`x`", "<img src=x onerror=alert(1)>", "**b**", "[l](http://x.example)", "a\\|b")


@pytest.fixture
def tagger_folder(tiny_backbone, tmp_path):
    """An untrained tagger for the labels of the sample corpus and two hostile ones."""
    return saved(tiny_backbone, tmp_path / "my tagger", ["LOC", "ORG", "PER", *HOSTILE[:2]])


@pytest.fixture
def data(tmp_path):
    """An annotated file, and what an evaluation of a tagger on it needs."""
    path = tmp_path / "dev.jsonl"
    with path.open("w", encoding="utf-8") as file:
        write_lines(Corpus(sample_corpus("dev").documents[:6]), file)
    return Inputs(data=str(path), store=tmp_path / "store")


def saved(backbone, folder, labels, **about):
    words = [w for sentence in sample_corpus("dev").sentences for w in sentence.words]
    head = HeadSettings(lstm_width=8, character_width=8)
    tagger = NerTagger.create(backbone, labels, words, head=head)
    tagger.config = tagger.config.model_copy(update={"training": about})
    tagger.save_pretrained(folder)
    return folder


def tables(text):
    """The cells of each table, row by row, as a reader sees them."""
    rows, found = [], []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "table_open":
            rows = []
            found.append(rows)
        elif token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows and token.level > 3:
            rows[-1].append("".join(child.content for child in token.children))
    return found


def table_with(text, head):
    return next(rows for rows in tables(text) if rows[0][: len(head)] == head)


def html_of(text):
    return MarkdownIt("gfm-like", {"linkify": False, "html": True}).render(text)


def test_the_figures_are_those_of_the_evaluation(tagger_folder, data):
    path = make_card(tagger_folder, data)
    report = report_on(read_systems([tagger_folder], data)[0], data)
    text = path.read_text("utf-8")
    shown = {row[0]: row[1:] for row in table_with(text, ["label", "precision"])}
    strict = report.evaluation.strict
    for label, score in (("all", strict.overall), *strict.labels.items()):
        figures = [f"{value:.4f}" for value in (score.precision, score.recall, score.f1)]
        assert shown[label][:3] == figures
        assert shown[label][3] == "{:.4f} to {:.4f}".format(*score.interval)
        assert shown[label][5] == f"{score.support:,}"
    assert f"{report.calibration.expected_error:.4f}" in text
    kinds = {row[0]: row[1] for row in table_with(text, ["kind", "errors"])[1:] if row[0]}
    assert sum(int(count.replace(",", "")) for count in kinds.values()) == len(report.errors)
    sizes = {row[0]: row[-1] for row in table_with(text, ["", "dev.jsonl"])}
    corpus = read_corpus(data.data)
    assert sizes["words"] == f"{sum(map(len, corpus.sentences)):,}"
    assert sizes["entities: PER"] == str(corpus_size(corpus.documents).entities["PER"])


def test_the_hub_reads_its_front_matter(tagger_folder, data):
    card = ModelCard.load(make_card(tagger_folder, data))
    assert card.data.language == "en"
    assert card.data.library_name == "llamaner"
    assert card.data.pipeline_tag == "token-classification"
    assert card.data.base_model is None
    assert card.data.license is None
    assert card.data.model_name == "my tagger"
    (f1,) = (result for result in card.data.eval_results if result.metric_type == "f1")
    overall = report_on(read_systems([tagger_folder], data)[0], data).evaluation.strict.overall
    assert f1.metric_value == round(overall.f1, 4)
    assert f1.dataset_name == "dev.jsonl"


def test_it_tells_no_folders_of_this_machine(tagger_folder, data, model_folder):
    text = make_card(tagger_folder, data).read_text("utf-8")
    assert str(tagger_folder.parent) not in text
    assert str(model_folder.parent) not in text
    assert not re.search(r"(^|\s|\")/\w", text)


@pytest.mark.parametrize("text", [*HOSTILE, "a\nb", "a\r\n\n# b", "~~~", "www.example.com", "@me"])
def test_what_is_escaped_is_shown_as_it_is(text):
    row = f"| {escaped(text)} | {escaped(text)} |"
    html = html_of(f"| a | b |\n|---|---|\n{row}\n")
    assert html.count("<td>") == 2
    (first, second) = re.findall(r"<td>(.*?)</td>", html)
    assert first == second
    assert "<" not in first
    assert "\u202e" not in escaped("a\u202eb\ud800")


def test_hostile_labels_and_words_break_no_table(tiny_backbone, predictions_of, tmp_path):
    folder = saved(tiny_backbone, tmp_path / "tagger", HOSTILE)
    words = [*HOSTILE, "x\u2028y", "@someone", "www.example.com"]
    rows = [
        (words, [(label, n, n + 1) for n, label in enumerate(HOSTILE)], [(HOSTILE[0], 3, 5, 0.4)]),
        (["Paris"], [("A\nB", 0, 1)], [("A|B", 0, 1, 0.2)]),
    ]
    assert write_card(folder, NerTagger.from_pretrained(folder), analyse(predictions_of(rows)))
    text = (folder / "README.md").read_text("utf-8").split("---\n", 2)[2]
    for found in tables(text):
        assert {len(row) for row in found} == {len(found[0])}
    labels = {row[0] for row in table_with(text, ["label", "precision"])[1:]}
    assert labels == {*HOSTILE, "A B", "all"}
    html = html_of(text.replace("<!-- written", "written"))
    assert "<img" not in html
    assert "x.example" not in "".join(re.findall(r'href="([^"]*)"', html))


def test_a_card_without_anything_found_or_known_says_so(tiny_backbone, predictions_of, tmp_path):
    folder = saved(tiny_backbone, tmp_path / "tagger", ["PER"])
    report = analyse(predictions_of([(["Ana", "won"], [("LOC", 0, 1)], [])]), data="gold.conll")
    assert write_card(folder, NerTagger.from_pretrained(folder), report)
    text = (folder / "README.md").read_text("utf-8")
    for sentence in (
        "What it learned from is not told",
        "How large the training data are is not known here",
        "The settings of its training are not told",
        "Not known: the system found nothing",
        "Not tested, for want of examples: PER",
        "It cannot find LOC, which gold.conll has",
        "its files do not name a licence",
        "To be filled in by the author",
    ):
        assert sentence in text


def test_nonsense_in_the_description_is_not_believed(tiny_backbone, tmp_path, data):
    about = {"settings": [1], "train_size": {"documents": "many"}, "train": 3, "epoch": "<b>"}
    folder = saved(tiny_backbone, tmp_path / "tagger", ["PER"], **about)
    text = make_card(folder, data).read_text("utf-8")
    assert "The settings of its training are not told" in text
    assert "<b>" not in text.replace("\\<b\\>", "")


def test_the_recipe_is_read_back_as_the_configuration(tiny_backbone, tmp_path, data):
    configuration = TrainingConfiguration.model_validate(
        {
            "train": "train.conll",
            "output": tmp_path,
            "store": tmp_path,
            "language": 'e"n\n```',
            "recased": 0.1,
            "backbone": {
                "model": str(tmp_path / "my tagger"),
                "layers": [1, 3],
                "device": "cpu",
                "repeat": 1,
            },
            "head": {"lstm_width": 8},
            "preset": "accurate",
            "lora": {"rank": 4, "learning_rate": 1e-5},
        }
    )
    (tmp_path / "my tagger").mkdir()
    about = {"train": "train.conll", "dev": None, "seed": 0, "settings": configuration.recipe()}
    folder = saved(tiny_backbone, tmp_path / "tagger", ["PER"], **about)
    text = make_card(folder, data).read_text("utf-8")
    (recipe,) = re.findall(r"```toml\n(.*?)\n```\n", text, re.DOTALL)
    again = TrainingConfiguration.model_validate(tomllib.loads(recipe))
    assert again.backbone.model == "my tagger"
    for name in ("train", "language", "recased", "head", "adapt", "lora", "epochs"):
        assert getattr(again, name) == getattr(configuration, name)
    assert again.backbone.attention == configuration.backbone.attention
    assert (again.preset, again.seed, again.backbone.repeat) == ("default", 0, 1)
    assert "10% of the training documents were learned from a second time" in " ".join(text.split())


def test_the_backbones_licence_is_told_where_it_names_one(
    tiny_backbone, model_folder, tmp_path, data, settings_of
):
    copy = tmp_path / "licensed"
    copy.mkdir()
    for file in model_folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    folder = saved(tiny_backbone, tmp_path / "tagger", ["PER"])
    elsewhere = data.model_copy(update={"backbone": str(copy)})
    for head, told in (
        ("license: mit", "The backbone: mit, as its README.md says"),
        ("license: other\nlicense_name: llama3.2", "The backbone: llama3.2, as"),
        ("license: [", "its files do not name a licence"),
        ("license: {a: b}", "its files do not name a licence"),
    ):
        (copy / "README.md").write_text(f"---\n{head}\n---\n\n# A model\n")
        assert told in make_card(folder, elsewhere).read_text("utf-8")


def test_notes_and_their_front_matter_go_in(tagger_folder, data, tmp_path):
    notes = tmp_path / "notes.md"
    notes.write_text(
        "---\nlicense: apache-2.0\ntags: [news]\n---\n\n### Robustness\n\n| a |\n|---|\n"
    )
    card = ModelCard.load(make_card(tagger_folder, data, notes=notes))
    assert card.data.license == "apache-2.0"
    assert card.data.tags == ["news"]
    assert "## Notes\n\n### Robustness\n\n| a |\n|---|" in card.text
    assert "To be filled in by the author" not in card.text
    notes.write_text("Only text.")
    assert "\nOnly text.\n" in ModelCard.load(make_card(tagger_folder, data, notes=notes)).text
    notes.write_text("---\nlicense: [\n---\n")
    with pytest.raises(ConfigurationError, match="no notes can be read"):
        make_card(tagger_folder, data, notes=notes)
    with pytest.raises(ConfigurationError, match="No such file"):
        make_card(tagger_folder, data, notes=tmp_path / "nowhere.md")


def test_what_people_wrote_is_not_overwritten_unasked(tagger_folder, data):
    path = make_card(tagger_folder, data)
    make_card(tagger_folder, data)
    path.write_text(path.read_text("utf-8").replace("# my tagger", "# Our tagger"), "utf-8")
    with pytest.raises(ConfigurationError, match="--overwrite"):
        make_card(tagger_folder, data)
    assert "# Our tagger" in path.read_text("utf-8")
    make_card(tagger_folder, data, overwrite=True)
    assert "# my tagger" in path.read_text("utf-8")


def test_without_examples_no_word_of_the_data_is_in_it(tagger_folder, data):
    path = make_card(tagger_folder, data, examples=False)
    (kinds,) = (rows for rows in tables(path.read_text("utf-8")) if rows[0] == ["kind", "errors"])
    report = report_on(read_systems([tagger_folder], data)[0], data)
    assert sum(int(count) for _, count in kinds[1:]) == len(report.errors)
    texts = {entity.text for s in read_corpus(data.data).sentences for entity in s.entities}
    assert not [text for text in texts if f" {text} " in path.read_text("utf-8")]


def test_only_taggers_have_cards(data, tmp_path):
    with pytest.raises(TaggerError, match="no such folder"):
        make_card(tmp_path / "nowhere", data)
    with pytest.raises(ConfigurationError, match="name the folder of a tagger"):
        make_card(tmp_path / "dev.jsonl", data)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/data/our corpus/train.conll", "train.conll"),
        ("/data/sets/wiki:train", "wiki:train"),
        ("hf:org/name@main:train", "hf:org/name@main:train"),
    ],
)
def test_names_of_corpora(source, name):
    assert corpus_name(source) == name


def test_the_name_of_the_folder_one_is_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert corpus_name(".") == tmp_path.name
