"""What `make demo` does, with the default backbone on the sample corpus."""

import json

import pytest

from llamaner.cli import main
from llamaner.corpus import sample_path


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


@pytest.mark.timeout(1200)
def test_train_evaluate_and_tag(tmp_path, capsys):
    tagger = tmp_path / "tagger"
    data = ("--train", sample_path("train"), "--dev", sample_path("dev"))
    assert run("train", *data, "--output", tagger, "--epochs", "6", "--no-report") == 0
    capsys.readouterr()
    assert run("evaluate", tagger, "--data", sample_path("test"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["strict"]["overall"]["f1"] > 0.75
    text = "The Kenyan engineer Amira Haddad flew from Oslo to Nairobi."
    assert run("tag", text, "--model", tagger) == 0
    entities = json.loads(capsys.readouterr().out)["entities"]
    assert {"Oslo", "Nairobi"} <= {e["text"] for e in entities if e["label"] == "LOC"}
    assert {"Amira Haddad"} <= {e["text"] for e in entities if e["label"] == "PER"}
