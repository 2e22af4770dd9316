"""Training runs: the same to the bit, resumed after a kill, and refused where it would hurt."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from llamaner.configuration import BackboneSettings, HeadSettings, TrainingConfiguration
from llamaner.corpus import Corpus, Document, read_conll, sample_corpus, write_conll
from llamaner.errors import CheckpointError, ConfigurationError
from llamaner.tagger import NerTagger
from llamaner.training import train
from llamaner.training.data import read_documents


@pytest.fixture
def configured(corpora, model_folder, tmp_path):
    def make(**changes):
        values = {
            "train": str(corpora / "train.conll"),
            "dev": str(corpora / "dev.conll"),
            "output": tmp_path / "tagger",
            "store": corpora / "store",
            "epochs": 4,
            "batch_size": 8,
            "learning_rate": 5e-3,
            "report": False,
            "backbone": BackboneSettings(
                model=str(model_folder), precision="float32", device="cpu", layers=(1, 3)
            ),
            "head": HeadSettings(lstm_width=16, character_width=16),
        }
        return TrainingConfiguration(**{**values, **changes})

    return make


def weights(folder):
    return load_file(folder / "model.safetensors")


def assert_same_weights(one, other):
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def f1_history(result):
    return [(row["epoch"], row["loss"], row["dev_f1"]) for row in result.history]


def test_a_run_learns_and_leaves_what_it_promises(configured, tmp_path):
    result = train(configured(epochs=6))
    losses = [row["loss"] for row in result.history]
    assert losses[-1] < losses[0] / 2
    output = tmp_path / "tagger"
    lines = (output / "training/metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert rows == result.history
    assert any((output / "training/tensorboard").glob("events*"))
    loaded = NerTagger.from_pretrained(output)
    assert loaded.config.training["dev_f1"] == max(row["dev_f1"] for row in rows)
    assert result.evaluation.strict.overall.f1 == pytest.approx(loaded.config.training["dev_f1"])


def test_a_seed_gives_the_same_run_to_the_bit(configured, tmp_path):
    runs = [train(configured(output=tmp_path / name, epochs=2)) for name in ("one", "two")]
    assert f1_history(runs[0]) == f1_history(runs[1])
    assert_same_weights(tmp_path / "one", tmp_path / "two")
    other = train(configured(output=tmp_path / "three", epochs=2, seed=1))
    assert f1_history(other) != f1_history(runs[0])


def test_a_killed_run_goes_on_to_the_same_result(configured, tmp_path):
    whole = train(configured(output=tmp_path / "whole", epochs=12, patience=12))
    killed = configured(epochs=12, patience=12)
    (tmp_path / "run.json").write_text(killed.model_dump_json())
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, torch; from llamaner import TrainingConfiguration, train; "
            "torch.set_num_threads(2); "
            "train(TrainingConfiguration.model_validate_json(open(sys.argv[1]).read()))",
            str(tmp_path / "run.json"),
        ],
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 200
    while not list((killed.output / "training").glob("epoch-00??")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = train(TrainingConfiguration(output=killed.output), resume=True)
    assert f1_history(resumed) == f1_history(whole)
    assert_same_weights(killed.output, tmp_path / "whole")
    lines = (killed.output / "training/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 13))


def test_the_report_of_the_best_epoch_is_written_at_the_end(configured, capsys, monkeypatch):
    train(configured(epochs=2, report=True))
    page = configured().output / "report.html"
    assert page.read_text("utf-8").count("<svg") >= 5
    for unknown in ("name it with --train", "name a backbone"):
        assert unknown not in page.read_text("utf-8")
    assert "report of the best epoch" in capsys.readouterr().err
    monkeypatch.setattr("llamaner.training.reporting.can_write_pages", lambda: False)
    page.unlink()
    train(configured(epochs=1, report=True), overwrite=True)
    assert not page.exists()
    assert 'pip install "llamaner[report]"' in capsys.readouterr().err


def test_a_card_of_the_best_epoch_is_written_at_the_end(configured, corpora):
    result = train(configured(epochs=2, recased=0.5))
    folder = configured().output
    card = (folder / "README.md").read_text("utf-8")
    overall = result.evaluation.strict.overall
    assert f"| **{overall.f1:.4f}** | {overall.interval[0]:.4f} to" in card
    assert "Learned from train.conll; the best epoch, " in card
    assert "was chosen by dev.conll" in card
    original = read_conll(corpora / "train.conll")
    assert f"| words | {sum(map(len, original.sentences)):,} |" in card
    assert "| unseen |" in card
    assert str(corpora) not in card
    about = NerTagger.from_pretrained(folder).config.training
    assert about["settings"]["head"] == {"lstm_width": 16, "character_width": 16}
    assert about["settings"]["backbone"]["layers"] == [1, 3]
    assert not {"train", "output", "store"} & about["settings"].keys()


def test_a_card_that_was_edited_stays(configured, capsys):
    train(configured(epochs=1))
    path = configured().output / "README.md"
    first = path.read_text("utf-8")
    train(configured(epochs=1, seed=1), overwrite=True)
    assert path.read_text("utf-8") != first
    path.write_text("# Ours\n")
    train(configured(epochs=1), overwrite=True)
    assert path.read_text("utf-8") == "# Ours\n"
    assert "README.md stays as it is" in capsys.readouterr().err


def test_curves_of_the_loss_and_of_each_label_are_in_tensorboard(configured):
    result = train(configured(epochs=2))
    row = result.history[-1]
    assert set(row["dev_f1_of"]) <= {"LOC", "MISC", "ORG", "PER"}
    events = b"".join(
        path.read_bytes() for path in (configured().output / "training/tensorboard").iterdir()
    )
    for name in ("loss", "dev_f1", "dev_precision", "dev_recall", "learning_rate", "dev_f1_of/LOC"):
        assert name.encode() in events


def test_patience_ends_a_run(configured):
    result = train(configured(epochs=30, patience=1, learning_rate=1e-5))
    assert len(result.history) < 30


def test_without_dev_documents_are_held_out(configured, capsys):
    train(configured(dev=None, epochs=1))
    assert "3 of 30 documents are held out" in capsys.readouterr().err


@pytest.mark.parametrize("count", range(3, 12))
def test_what_is_held_out_of_few_sentences_has_entities(configured, tmp_path, count):
    rows = [f"w{i} {'B-LOC' if i % 2 else 'O'}\nx O\n\n" for i in range(count)]
    (tmp_path / "few.conll").write_text("".join(rows) + "Paris B-LOC\n")
    train_documents, dev = read_documents(configured(train=str(tmp_path / "few.conll"), dev=None))
    assert len(train_documents) + len(dev) == count + 1


def test_labels_that_only_dev_has_are_told(configured, corpora, tmp_path, capsys):
    path = tmp_path / "dev.conll"
    path.write_text("Monday B-DATE\n\nParis B-LOC\n")
    train(configured(dev=str(path), epochs=1))
    assert "DATE" in capsys.readouterr().err


def test_a_tagger_is_not_overwritten_unasked(configured):
    train(configured(epochs=1))
    with pytest.raises(ConfigurationError, match="--overwrite"):
        train(configured(epochs=1))
    train(configured(epochs=1, seed=5), overwrite=True)


def test_resuming_asks_for_the_same_run(configured, corpora, tmp_path):
    with pytest.raises(CheckpointError, match="no run to resume"):
        train(TrainingConfiguration(output=tmp_path / "nothing"), resume=True)
    configuration = configured(epochs=1)
    train(configuration)
    with pytest.raises(CheckpointError, match="changed: epochs"):
        train(TrainingConfiguration(output=configuration.output, epochs=9), resume=True)
    text = (corpora / "dev.conll").read_text()
    for other in (text.replace("PORT B-LOC", "PORT B-PER"), text.replace("-DOCSTART- O\n", "")):
        assert other != text
        (tmp_path / "dev.conll").write_text(text)
        run = configured(epochs=1, dev=str(tmp_path / "dev.conll"))
        train(run, overwrite=True)
        (tmp_path / "dev.conll").write_text(other)
        with pytest.raises(CheckpointError, match="no longer what the run began with"):
            train(TrainingConfiguration(output=run.output), resume=True)


@pytest.mark.parametrize("damage", [lambda f: f.write_bytes(f.read_bytes()[:100]), Path.unlink])
def test_random_states_that_are_lost_are_told(configured, damage):
    run = configured(epochs=1)
    train(run)
    (states,) = (run.output / "training").glob("epoch-*/random_states_0.pkl")
    damage(states)
    with pytest.raises(CheckpointError, match="damaged"):
        train(TrainingConfiguration(output=run.output), resume=True)


@pytest.mark.skipif(os.name != "posix", reason="limits of processes")
def test_a_full_disk_leaves_the_last_whole_epoch(configured, tmp_path):
    run = configured(epochs=2)
    (tmp_path / "run.json").write_text(run.model_dump_json())
    program = """
import resource, sys
from llamaner import TrainingConfiguration, train
from llamaner.training import run
save, epochs = run.save_checkpoint, []
def full(*arguments):
    if epochs:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    epochs.append(1)
    save(*arguments)
run.save_checkpoint = full
try:
    train(TrainingConfiguration.model_validate_json(open(sys.argv[1]).read()))
except run.CheckpointError as error:
    print(error)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "run.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "make room, and go on with --resume" in done.stdout
    (left,) = (run.output / "training").glob("epoch-*")
    assert left.name == "epoch-0001"
    assert len(train(TrainingConfiguration(output=run.output), resume=True).history) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Monday O\n", "has no entities"),
        ("Paris B-LOC\n", "not enough"),
        ("Paris B-LOC\n\nMonday O\n", "has no entities"),
    ],
)
def test_corpora_that_cannot_be_learned_from(configured, tmp_path, text, message):
    path = tmp_path / "train.conll"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        train(configured(train=str(path), dev=None))


def test_a_rate_that_is_far_too_high_is_named(configured):
    with pytest.raises(ConfigurationError, match="lower learning rate"):
        train(configured(learning_rate=1e30))


def test_documents_of_one_sentence_suffice(configured, tmp_path):
    sentences = list(sample_corpus("dev").sentences)
    path = tmp_path / "one.conll"
    write_conll(Corpus((Document.from_sentences(sentences),), "BIO"), path)
    assert train(configured(train=str(path), dev=None, epochs=1)).history
