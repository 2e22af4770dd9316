"""The report tells what is so: groups, calibration, views, JSON and frames."""

import json

import numpy as np
import pytest

from llamaner.corpus import Document, LabelSpan, Sentence
from llamaner.evaluation import analyse, compare, predict, words_in_subwords
from llamaner.evaluation.comparison import SHUFFLES
from llamaner.evaluation.prediction_files import TaggedData
from llamaner.tagger import NerTagger

PARIS = ["Ana", "flew", "to", "Paris", "."]


def groups(report, title):
    (found,) = (b for b in report.breakdowns if b.title.startswith(title))
    return {name: (s.support, s.found, s.f1) for name, s in found.groups.items()}


def test_groups_by_length(mixed):
    report = analyse(mixed)
    assert groups(report, "Length of the entity") == {
        "1 word": (11, 11, pytest.approx(18 / 22)),
        "2 words": (0, 2, 0),
        "3 words": (2, 0, 0),
    }
    assert set(groups(report, "Length of the sentence")) == {"1–5 words", "6–10"}


def test_groups_by_what_training_had(mixed):
    training = [Sentence.from_words(PARIS).with_entities(spans()) for _ in range(3)]
    found = groups(analyse(mixed, training=training), "How often")
    assert found["unseen"][:2] == (3, 4)
    assert found["2–4 times"][:2] == (10, 8)
    assert found["only with another label"][:2] == (0, 1)


def spans():
    return [LabelSpan("PER", 0, 1), LabelSpan("LOC", 3, 4)]


def test_groups_by_subwords(mixed, tiny_backbone):
    sentences = [pair.gold.sentence for pair in mixed.pairs]
    counted = words_in_subwords(tiny_backbone.tokenizer, sentences)
    assert [len(row) for row in counted] == [len(s) for s in sentences]
    assert all(count >= 1 for row in counted for count in row)
    (lone,) = words_in_subwords(tiny_backbone.tokenizer, [Sentence.from_words(["Paris"])])
    assert lone == [tiny_backbone.count_subwords("Paris")]
    found = groups(analyse(mixed, subwords=counted), "Subwords")
    assert sum(support for support, *_ in found.values()) == 13


def test_what_is_not_known_says_so(mixed):
    absent = [b.absent for b in analyse(mixed).breakdowns if not b.groups]
    assert len(absent) == 2
    assert "--train" in absent[0]
    assert "--backbone" in absent[1]


def test_calibration(predictions_of):
    words = ["a", "b"]
    right = (words, [("A", 0, 1)], [("A", 0, 1, 0.95)])
    wrong = (words, [], [("A", 0, 1, 0.95)])
    doubtful = (words, [("A", 0, 1)], [("A", 0, 1, 0.15)])
    found = analyse(predictions_of([right] * 8, [wrong] * 2, [doubtful] * 10)).calibration
    assert [(b.count, b.precision) for b in found.bins if b.count] == [(10, 1.0), (10, 0.8)]
    assert found.expected_error == pytest.approx(0.5 * 0.15 + 0.5 * 0.85)
    (low, high) = found.curve
    assert (low.threshold, low.precision, low.recall) == (0.15, 0.9, 1)
    assert (high.threshold, high.precision, high.recall) == (0.95, 0.8, pytest.approx(8 / 18))
    assert found.threshold_for(0.85) == low
    assert found.threshold_for(0.95) is None


def test_the_threshold_is_the_lowest_that_gives_the_precision(predictions_of):
    rng = np.random.default_rng(0)
    confidence = rng.random(300).round(2)
    right = rng.random(300) < confidence
    rows = [
        (["a"], [("A", 0, 1)] if hit else [], [("A", 0, 1, float(value))])
        for value, hit in zip(confidence, right, strict=True)
    ]
    found = analyse(predictions_of(rows)).calibration
    for wanted in (0.3, 0.5, 0.7, 0.8, 0.9):
        fits = [t for t in sorted(set(confidence)) if right[confidence >= t].mean() >= wanted]
        point = found.threshold_for(wanted)
        assert (point and point.threshold) == (fits[0] if fits else None)


def test_likely_mistakes_are_sorted_and_only_the_sure_ones(mixed):
    found = analyse(mixed).likely_mistakes(0.6)
    assert [error.suspicion for error in found] == [0.95, 0.7, 0.6]
    assert [error.suspicion for error in analyse(mixed).likely_mistakes()] == [0.95]


def test_nervaluates_views_stand_beside(mixed):
    views = {view.name: view for view in analyse(mixed).views if view.label is None}
    assert set(views) == {"strict", "exact", "partial", "ent_type"}
    assert views["strict"].f1 == pytest.approx(analyse(mixed).evaluation.strict.overall.f1)
    assert views["ent_type"].correct > views["strict"].correct


def test_without_confidence_nothing_is_made_up(predictions_of):
    report = analyse(predictions_of([(PARIS, [("PER", 0, 1)], [("LOC", 0, 1)])]))
    assert report.calibration is None
    assert report.likely_mistakes(0) == []
    assert report.to_dict()["calibration"] is None
    assert "curve" not in report.frames()


def test_nothing_found_in_nothing(predictions_of):
    report = analyse(predictions_of([(PARIS, [], [])]))
    assert report.views == ()
    assert report.errors == ()
    assert report.no_confidence == "the system found nothing"
    json.dumps(report.to_dict())


def test_json_and_frames_have_the_same(mixed):
    report = analyse(mixed)
    whole = json.loads(json.dumps(report.to_dict()))
    frames = report.frames()
    assert whole["strict"]["overall"]["f1"] == frames["scores"].query("label == 'all'").f1.iloc[0]
    assert len(whole["errors"]) == len(frames["errors"]) == len(report.errors)
    assert {s["number"] for s in whole["sentences"]} == {e["sentence"] for e in whole["errors"]}
    assert list(frames["errors"].kind) == [error["kind"] for error in whole["errors"]]
    assert frames["confusion"].set_index("gold").loc["LOC", "PER"] == 1
    assert len(frames["reliability"]) == 10


def test_gold_entities_that_a_tagger_did_not_find_have_their_probability(tiny_backbone):
    tagger = NerTagger.create(tiny_backbone, ["LOC", "PER"], PARIS)
    tagger.network.eval()
    sentence = Sentence.from_words(PARIS).with_entities(
        [*spans()[:1], spans()[1]._replace(label="X")]
    )
    gold = TaggedData.of("gold", [Document.from_sentences([sentence] * 3)])
    features = dict(tiny_backbone.embed_sentences(gold.documents))
    found = predict(tagger, "tagger", gold, [features[i] for i in range(3)])
    for (_, span), probability in found.gold_confidence.items():
        assert 0 <= probability < 1
        assert (probability == 0) == (span.label == "X")
    assert len(found.gold_confidence) >= 3


def test_compare(predictions_of):
    right = (PARIS, [("PER", 0, 1), ("LOC", 3, 4)], [("PER", 0, 1), ("LOC", 3, 4)])
    wrong = (PARIS, right[1], [("PER", 0, 1), ("PER", 3, 4)])
    worse = (PARIS, right[1], [])
    first = predictions_of(*[[right, wrong]] * 20, [right, worse], name="a")
    second = predictions_of(*[[right, right]] * 20, [wrong, wrong], name="b")
    found = compare(first, second)
    overall, loc, per = found.differences
    assert (overall.label, loc.label, per.label) == (None, "LOC", "PER")
    assert overall.difference == pytest.approx(overall.second - overall.first)
    assert overall.interval[0] < overall.difference < overall.interval[1]
    assert overall.randomisation_p == pytest.approx(1 / (SHUFFLES + 1), abs=5e-4)
    assert overall.bootstrap_p < 0.01
    verdicts = [s.verdict for s in found.sentences]
    assert verdicts == [*["only second right"] * 20, "only first right", "both wrong"]
    assert len(json.loads(json.dumps(found.to_dict()))["sentences"]) == 22
    assert list(found.frames()["differences"].label.isna()) == [True, False, False]
    with pytest.raises(ValueError, match="same gold"):
        compare(first, predictions_of([right]))
