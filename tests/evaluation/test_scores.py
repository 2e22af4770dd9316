"""Scores are seqeval's in both modes, conlleval's own example among them; every word counts."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2

from llamaner.corpus import Document, LabelSpan, Sentence, read_conll
from llamaner.evaluation import conlleval_scores, evaluate, strict_scores

# seqeval warns of labels without entities, and takes the mean of none where there are no labels.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning"),
    pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning"),
]

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-a-b", "I-a-b"]
# Correct, gold and found phrases behind the percentages of the example that conlleval's
# documentation shows (https://www.clips.uantwerpen.be/conll2000/chunking/output.html).
PUBLISHED = {
    "ADJP": (0, 6, 1, "0.00 0.00 0.00"),
    "ADVP": (5, 8, 11, "45.45 62.50 52.63"),
    "NP": (206, 262, 317, "64.98 78.63 71.16"),
    "PP": (89, 90, 107, "83.18 98.89 90.36"),
    "SBAR": (2, 6, 3, "66.67 33.33 44.44"),
    "VP": (69, 87, 100, "69.00 79.31 73.80"),
}


def assert_seqevals(gold, found):
    for ours, mode in (
        (strict_scores(gold, found), {"mode": "strict", "scheme": IOB2}),
        (conlleval_scores(gold, found), {}),
    ):
        report = classification_report(gold, found, output_dict=True, zero_division=0, **mode)
        rows = {name: row for name, row in report.items() if not name.endswith(" avg")}
        assert set(ours.labels) == set(rows)
        rows[None] = report["micro avg"]
        for label, row in rows.items():
            score = ours.labels[label] if label else ours.overall
            shown = (row["precision"], row["recall"], row["f1-score"], row["support"])
            assert (score.precision, score.recall, score.f1, score.support) == pytest.approx(shown)


def test_both_modes_are_seqevals_on_a_thousand_random_sequences():
    rng = random.Random(0)
    gold, found = [], []
    for _ in range(1000):
        length = rng.randint(1, 12)
        gold.append(rng.choices(TAGS, k=length))
        found.append(rng.choices(TAGS, k=length))
        assert_seqevals(gold[-5:], found[-5:])
    assert_seqevals(gold, found)


@given(st.lists(st.lists(st.sampled_from(TAGS[:5]), min_size=1), min_size=1, max_size=5), st.data())
def test_both_modes_are_seqevals(gold, data):
    tags = st.sampled_from(TAGS[:5])
    found = [data.draw(st.lists(tags, min_size=len(g), max_size=len(g))) for g in gold]
    if any(tag != "O" for tags in (*gold, *found) for tag in tags):
        assert_seqevals(gold, found)


def test_both_modes_are_seqevals_on_real_sentences(shared):
    rng = random.Random(0)
    gold = [s.tags() for s in list(read_conll(shared / "wnut17/dev.txt").sentences)]
    kinds = sorted({tag for tags in gold for tag in tags})
    found = [[t if rng.random() < 0.95 else rng.choice(kinds) for t in tags] for tags in gold]
    assert_seqevals(gold, found)


def test_conllevals_published_example():
    gold, found = [], []
    for label, (both, true, other, _) in PUBLISHED.items():
        gold += [[f"B-{label}"]] * true + [["O"]] * (other - both)
        found += [[f"I-{label}"]] * both + [["O"]] * (true - both)
        found += [[f"I-{label}"]] * (other - both)
    scores = conlleval_scores(gold, found)
    assert percentages(scores.overall) == "68.83 80.83 74.35"
    assert (scores.overall.support, scores.overall.found) == (459, 539)
    assert {label: percentages(score) for label, score in scores.labels.items()} == {
        label: shown for label, (*_, shown) in PUBLISHED.items()
    }


def percentages(score):
    return " ".join(f"{100 * value:.2f}" for value in (score.precision, score.recall, score.f1))


def test_strict_refuses_what_conlleval_accepts():
    gold, found = [["B-PER", "I-PER"]], [["I-PER", "I-PER"]]
    assert strict_scores(gold, found).overall.f1 == 0
    assert conlleval_scores(gold, found).overall.f1 == 1


def sentence(*spans):
    return Sentence.from_words(["a", "b", "c", "d"], [LabelSpan(*span) for span in spans])


def test_per_label_and_overall():
    gold = [Document.from_sentences([sentence(("PER", 0, 1), ("LOC", 2, 4))])]
    found = [[sentence(("PER", 0, 1), ("LOC", 2, 3))]]
    evaluation = evaluate(gold, found)
    assert evaluation.strict.labels["PER"].f1 == 1
    assert evaluation.strict.labels["LOC"].f1 == 0
    assert evaluation.strict.overall.f1 == pytest.approx(0.5)
    assert (evaluation.documents, evaluation.sentences, evaluation.words) == (1, 1, 4)


def test_nothing_to_find_and_nothing_found():
    document = Document.from_sentences([sentence()])
    evaluation = evaluate([document], [[sentence()]])
    assert evaluation.strict.overall.support == 0
    assert evaluation.interval is None


def test_sentences_with_other_words_are_refused():
    document = Document.from_sentences([sentence()], id="d1")
    with pytest.raises(ValueError, match="d1"):
        evaluate([document], [[Sentence.from_words(["a", "b"])]])
    with pytest.raises(ValueError, match="zip"):
        evaluate([document, document], [[sentence()]])
