"""Every error is found once, has the right kind, and adds up with the scores."""

from hypothesis import given
from hypothesis import strategies as st

from llamaner.corpus import Document, Sentence, decode
from llamaner.evaluation import Predictions, evaluate_predictions
from llamaner.evaluation.confusion import confusion
from llamaner.evaluation.disagreements import disagreements

TAGS = st.lists(st.sampled_from(["O", "O", "B-A", "I-A", "B-B", "I-B"]), min_size=9, max_size=9)


def test_kinds(mixed):
    kinds = [(e.sentence, e.kind) for e in disagreements(mixed)]
    assert kinds == [
        (1, "wrong label"),
        (2, "missed"),
        (4, "wrong boundary"),
        (5, "wrong label and boundary"),
        (7, "invented"),
    ]


def test_the_longest_overlap_wins_and_the_rest_is_missed_or_invented(predictions_of):
    words = list("abcdefgh")
    one = [(words, [("A", 0, 4)], [("A", 0, 1), ("A", 1, 4)])]
    other = [(words, [("A", 0, 1), ("A", 1, 4)], [("A", 0, 4)])]
    kinds = [e.kind for e in disagreements(predictions_of(one, other))]
    assert kinds == ["wrong boundary", "invented", "missed", "wrong boundary"]


@given(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=4))
def test_errors_scores_and_confusion_add_up(pairs):
    words = Sentence.from_words(list("abcdefghi"))
    gold = [Document.from_sentences([words.with_entities(decode(g))]) for g, _ in pairs]
    found = [[words.with_entities(decode(f))] for _, f in pairs]
    predictions = Predictions.of("x", gold, found)
    overall = evaluate_predictions(predictions).strict.overall
    both = round(overall.recall * overall.support)
    errors = list(disagreements(predictions))
    assert sum(e.gold is not None for e in errors) == overall.support - both
    assert sum(e.found is not None for e in errors) == overall.found - both
    matrix = confusion(predictions)
    assert sum(map(sum, matrix.counts[:-1])) == overall.support
    assert sum(sum(row[:-1]) for row in matrix.counts) == overall.found


def test_suspicion_is_the_confidence_in_what_gold_does_not_have(mixed):
    suspicions = [e.suspicion for e in disagreements(mixed)]
    assert suspicions == [0.95, None, 0.6, 0.7, 0.4]
