"""Scores are seqeval's, every gold word is scored, and intervals hold what they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from llamaner.corpus import Document, LabelSpan, Sentence
from llamaner.evaluation import bootstrap_interval, conlleval_scores, evaluate, strict_scores

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
SEQUENCES = st.lists(
    st.integers(1, 8).flatmap(
        lambda n: st.tuples(
            st.lists(st.sampled_from(TAGS), min_size=n, max_size=n),
            st.lists(st.sampled_from(TAGS), min_size=n, max_size=n),
        )
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@given(SEQUENCES)
def test_both_modes_are_seqevals(pairs):
    gold, found = [list(g) for g, _ in pairs], [list(f) for _, f in pairs]
    if all(tag == "O" for tags in (*gold, *found) for tag in tags):
        return
    strict = f1_score(gold, found, mode="strict", scheme=IOB2, zero_division=0)
    assert strict_scores(gold, found).overall.f1 == pytest.approx(strict)
    lenient = f1_score(gold, found, zero_division=0)
    assert conlleval_scores(gold, found).overall.f1 == pytest.approx(lenient)


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
    assert evaluate([document], [[sentence()]]).strict.overall.support == 0


def test_sentences_with_other_words_are_refused():
    document = Document.from_sentences([sentence()], id="d1")
    with pytest.raises(ValueError, match="d1"):
        evaluate([document], [[Sentence.from_words(["a", "b"])]])
    with pytest.raises(ValueError, match="zip"):
        evaluate([document, document], [[sentence()]])


def test_the_interval_covers_the_true_f1():
    # Entities are found with probability 0.8 and nothing is invented: F1 is 2 * 0.8 / 1.8.
    rng = np.random.default_rng(0)
    truth, covered = 2 * 0.8 / 1.8, 0
    for _ in range(200):
        hits = rng.random((60, 5)) < 0.8
        gold = [Document.from_sentences([sentence(("PER", 0, 1))] * 5) for _ in range(60)]
        found = [[sentence(("PER", 0, 1)) if hit else sentence() for hit in row] for row in hits]
        low, high = bootstrap_interval(gold, found)
        covered += low <= truth <= high
    assert 180 <= covered <= 199
