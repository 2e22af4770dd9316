"""Predictions of other systems are read as they are, and refused where they do not fit."""

import pytest

from llamaner.configuration import Inputs
from llamaner.errors import ConfigurationError, CorpusError, TaggerError
from llamaner.evaluation import evaluate_predictions, read_systems, report_on

GOLD = "Ana B-PER\nflew O\nto O\nNew B-LOC\nYork I-LOC\n\nParis B-LOC\nwon O\n"
FOUND = "Ana I-PER\nflew O\nto O\nNew B-LOC\nYork I-LOC\n\nParis B-ORG\nwon O\n"


@pytest.fixture
def write(tmp_path):
    def put(name, text):
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return put


def score(*paths, **inputs):
    systems = read_systems(paths, Inputs(**inputs))
    return [evaluate_predictions(system.predictions) for system in systems]


def both_columns(gold=GOLD, found=FOUND):
    rows = zip(gold.split("\n"), found.split("\n"), strict=True)
    return "\n".join(f"{a} {b.split()[1]}" if a else "" for a, b in rows)


def test_gold_and_predicted_columns_of_one_file_and_two_files_are_the_same(write):
    gold, found = write("gold.conll", GOLD), write("found.conll", FOUND)
    (apart,) = score(found, data=str(gold))
    (together,) = score(write("both.conll", both_columns()))
    assert apart == together
    assert apart.strict.overall.f1 == pytest.approx(2 / 5)
    assert apart.conlleval.overall.f1 == pytest.approx(4 / 6)


def test_documents_are_those_of_gold(write):
    gold = write("gold.conll", f"-DOCSTART- O\n\n{GOLD}\n-DOCSTART- O\n\n{GOLD}")
    (evaluation,) = score(write("found.conll", f"{FOUND}\n{FOUND}"), data=str(gold))
    assert (evaluation.documents, evaluation.sentences) == (2, 4)


def test_an_ill_formed_bioes_entity_is_none_to_strict_scoring(write):
    gold = "Ana S-PER\nLi O\n\nNew B-LOC\nYork E-LOC\n\nOslo S-LOC\n"
    found = "Ana S-PER\nLi O\n\nNew B-LOC\nYork I-LOC\n\nOslo S-LOC\n"
    (evaluation,) = score(write("both.conll", both_columns(gold, found)))
    assert evaluation.strict.overall.found == 2
    assert evaluation.conlleval.overall.found == 3


def test_json_lines_bring_confidences(write):
    entity = '{"start": 0, "end": 3, "label": "PER", "confidence": 0.5}'
    gold = write("gold.jsonl", '{"text": "Ana flew.", "entities": []}\n')
    found = write("found.jsonl", f'{{"text": "Ana flew.", "entities": [{entity}]}}\n')
    (system,) = read_systems([found], Inputs(data=str(gold)))
    assert system.predictions.has_confidence


def test_training_data_and_a_backbone_may_be_named_for_files(write, model_folder):
    gold, found = write("gold.conll", GOLD), write("found.conll", FOUND)
    inputs = Inputs(data=str(gold), train=str(gold), backbone=str(model_folder))
    (system,) = read_systems([found], inputs)
    assert all(breakdown.groups for breakdown in report_on(system, inputs).breakdowns)
    with pytest.raises(CorpusError, match="no such file"):
        report_on(system, inputs.model_copy(update={"train": "nowhere.conll"}))


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        (FOUND.replace("flew", "flies"), ":2:", "'flies' stands where"),
        (FOUND.replace("won O\n", ""), ":7:", "the sentence ends after 1 words"),
        (FOUND.replace("won O", "won O\nwon O"), ":9:", "'won' stands where"),
        (FOUND.split("\n\n")[0] + "\n", ":5:", "ends after 1 sentences"),
        (FOUND + "\nmore O\n", ":10:", "has 3 sentences"),
        (FOUND.replace("to O\n", "to O\n\n"), ":3:", "the sentence ends after 3 words"),
    ],
)
def test_other_words_are_named_with_file_and_line(write, text, place, told):
    gold, found = write("gold.conll", GOLD), write("found.conll", text)
    with pytest.raises(CorpusError) as raised:
        score(found, data=str(gold))
    assert f"{found}{place}" in str(raised.value)
    assert told in str(raised.value)
    assert str(gold) in str(raised.value)


def test_json_lines_with_other_words_are_named(write):
    gold = write("gold.conll", "Ana O\nflew O\n")
    found = write("found.jsonl", '{"tokens": ["Ana", "flies"], "text": "Ana flies"}\n')
    with pytest.raises(CorpusError, match="in sentence 1, 'flies' stands where"):
        score(found, data=str(gold))


def test_what_does_not_fit_together_is_refused(write, tmp_path):
    one = write("one.conll", both_columns())
    other = write("other.conll", both_columns().replace("B-PER I-PER", "B-LOC I-PER"))
    with pytest.raises(CorpusError, match="not those of"):
        score(one, other)
    with pytest.raises(CorpusError, match="--data"):
        score(write("found.jsonl", '{"text": "Ana", "entities": []}\n'))
    with pytest.raises(CorpusError, match="would be both word and tag"):
        score(write("words.conll", "Ana B-PER\nflew O\n"))
    with pytest.raises(TaggerError, match="no such folder or file"):
        score(tmp_path / "nowhere")


def test_a_tagger_needs_data(tmp_path, tiny_backbone):
    from llamaner.tagger import NerTagger

    NerTagger.create(tiny_backbone, ["PER"], ["a"]).save_pretrained(tmp_path)
    with pytest.raises(ConfigurationError, match="--data"):
        score(tmp_path)
