"""The commands as people and scripts meet them: output, errors and exit codes."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from llamaner.cli import main
from llamaner.corpus import Corpus, read_conll, sample_corpus, write_conll


@pytest.fixture(scope="module")
def trained(tmp_path_factory, model_folder):
    """A tagger trained by the command, and the folder that it is in."""
    folder = tmp_path_factory.mktemp("cli")
    for split in ("train", "dev"):
        documents = sample_corpus(split).documents[:20]
        write_conll(Corpus(documents, "BIO"), folder / f"{split}.conll")
    (folder / "run.toml").write_text(
        f"""
        train = "{folder}/train.conll"
        dev = "{folder}/dev.conll"
        output = "{folder}/tagger"
        epochs = 8
        batch_size = 8
        learning_rate = 0.005
        report = false
        [backbone]
        model = "{model_folder}"
        precision = "float32"
        """
    )
    assert run("train", "--config", f"{folder}/run.toml", "--layers", "1", "2") == 0
    return folder


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


@pytest.fixture
def typed(monkeypatch):
    """A function that puts bytes on standard input."""

    def put(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))

    return put


@pytest.mark.parametrize(
    "command",
    ["check", "plan", "train", "evaluate", "compare", "card", "tag", "benchmark", "store", "info"],
)
def test_help_shows_an_example(command, capsys):
    arguments = ("store", "list") if command == "store" else (command,)
    assert run(*arguments, "--help") == 0
    assert f"llamaner {command}" in capsys.readouterr().out.split("Example")[1]


def test_every_setting_is_a_flag(capsys):
    run("train", "--help")
    shown = capsys.readouterr().out
    for flag in ("--train", "--epochs", "--layers", "--pooling", "--repeat", "--dropout", "--seed"):
        assert flag in shown


def test_train_leaves_a_tagger_that_evaluate_scores(trained, capsys):
    assert run("evaluate", trained / "tagger", "--data", trained / "dev.conll", "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["strict"]["overall"]["support"] > 0
    assert scores["words"] == sum(map(len, read_conll(trained / "dev.conll").sentences))
    assert run("evaluate", trained / "tagger", "--data", trained / "dev.conll") == 0
    assert "F1 conlleval" in capsys.readouterr().out


def test_evaluate_writes_a_report_and_json_with_all_that_it_shows(trained, capsys, tmp_path):
    arguments = ("--data", trained / "dev.conll", "--report", tmp_path / "report.html", "--json")
    assert run("evaluate", trained / "tagger", *arguments) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["errors"]
    assert shown["calibration"]["bins"]
    assert all(breakdown["groups"] for breakdown in shown["breakdowns"])
    assert all(0 <= error["suspicion"] <= 1 for error in shown["errors"])
    assert (tmp_path / "report.html").read_text("utf-8").startswith("<!doctype html>")


def test_card_writes_the_tagger_s_readme_for_other_data(trained, capsys, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((trained / "tagger" / name).read_bytes())
    data = ("--data", trained / "train.conll")
    assert run("card", tmp_path, *data) == 0
    assert str(tmp_path / "README.md") in capsys.readouterr().out
    assert "\nOn train.conll. Strict" in (tmp_path / "README.md").read_text("utf-8")
    (tmp_path / "README.md").write_text("Ours.")
    assert run("card", tmp_path, *data) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run("card", tmp_path, *data, "--overwrite") == 0
    assert run("card", tmp_path) == 2
    assert "--data FILE" in capsys.readouterr().err


def test_what_strict_scoring_does_not_count_is_told(tmp_path, capsys):
    path = tmp_path / "both.conll"
    path.write_text("Ana B-PER I-PER\nflew O O\n\nOslo B-LOC B-LOC\nwon O O\n\nBo B-PER B-PER\n")
    assert run("evaluate", path, path) == 0
    told = capsys.readouterr()
    assert told.out.count(str(path)) == 2
    assert told.err.count("1 found entities have ill-formed tags") == 2


def test_what_tag_wrote_is_evaluated_and_compared_as_the_tagger_itself(trained, capsys, tmp_path):
    data = ("--data", trained / "dev.conll")
    for kind in ("conll", "jsonl"):
        arguments = ("--file", trained / "dev.conll", "--format", kind)
        assert run("tag", "--model", trained / "tagger", *arguments) == 0
        (tmp_path / f"found.{kind}").write_text(capsys.readouterr().out, "utf-8")
    systems = (trained / "tagger", tmp_path / "found.conll", tmp_path / "found.jsonl")
    assert run("evaluate", *systems, *data, "--json") == 0
    tagger, columns, lines = json.loads(capsys.readouterr().out)
    assert tagger["strict"] == columns["strict"] == lines["strict"]
    errors = [whole["calibration"]["expected_error"] for whole in (tagger, lines)]
    assert errors[0] == pytest.approx(errors[1], abs=1e-4)
    assert columns["calibration"] is None
    report = ("--report", tmp_path / "report.html")
    assert run("compare", *systems[:2], *data, *report, "--json") == 0
    compared = json.loads(capsys.readouterr().out)["comparison"]
    assert compared["sentences"] == []
    assert compared["differences"][0]["randomisation_p"] == 1
    assert run("compare", *systems[1:], *data) == 0
    assert "they differ in 0 sentences" in capsys.readouterr().out


def test_tag_an_argument_as_jsonl(trained, capsys):
    text = "Ana Lučić [bold]flew[/bold] to Paris."
    assert run("tag", text, "--model", trained / "tagger") == 0
    (record,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert record["text"] == text
    for entity in record["entities"]:
        assert text[entity["start"] : entity["end"]] == entity["text"]
        assert 0 < entity["confidence"] <= 1


def test_another_precision_than_in_training(trained, capsys):
    def confidences(*flags):
        assert run("tag", "Ana Lučić flew to Paris.", "--model", trained / "tagger", *flags) == 0
        (record,) = map(json.loads, capsys.readouterr().out.splitlines())
        return [entity["confidence"] for entity in record["entities"]]

    trained_with, other = confidences(), confidences("--precision", "bfloat16")
    assert trained_with == confidences("--precision", "float32")
    assert trained_with != other
    data = ("--data", trained / "dev.conll", "--store", trained / "store")
    assert run("evaluate", trained / "tagger", *data, "--precision", "bfloat16") == 0
    assert any(
        json.loads(file.read_text())["precision"] == "bfloat16"
        for file in (trained / "store").glob("*/about.json")
    )


def test_tag_marks_text_and_keeps_it(trained, capsys):
    text = "Ana Lučić [bold]flew[/bold] to Paris [/]."
    assert run("tag", text, "--model", trained / "tagger", "--format", "text") == 0
    shown = capsys.readouterr().out
    assert "[bold]flew" in shown
    assert "[/]" in shown


def test_tag_standard_input_line_by_line(trained, capsys, typed):
    typed("Ana flew to Paris.\r\n\n北京 is far.\n".encode())
    assert run("tag", "--model", trained / "tagger", "--lines") == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["text"] for record in records] == ["Ana flew to Paris.", "北京 is far."]


def test_tag_files_of_each_kind(trained, capsys, tmp_path):
    (tmp_path / "a.txt").write_text("Ana flew to Paris.\n\nShe stayed.", "utf-8")
    (tmp_path / "b.jsonl").write_text('{"id": "x", "text": "Jordan won."}\n')
    arguments = ["--file", tmp_path / "a.txt", tmp_path / "b.jsonl", trained / "dev.conll"]
    assert run("tag", "--model", trained / "tagger", *arguments, "--format", "jsonl") == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(records) == 2 + len(read_conll(trained / "dev.conll").documents)
    assert records[1]["id"] == "x"


def test_tag_conll_gives_conll_back(trained, capsys, tmp_path):
    arguments = ["--file", trained / "dev.conll", "--format", "conll"]
    assert run("tag", "--model", trained / "tagger", *arguments) == 0
    (tmp_path / "out.conll").write_text(capsys.readouterr().out, "utf-8")
    tagged, gold = read_conll(tmp_path / "out.conll"), read_conll(trained / "dev.conll")
    assert [s.words for s in tagged.sentences] == [s.words for s in gold.sentences]
    assert tagged.labels


def test_check(trained, capsys):
    assert run("check", trained / "train.conll", trained / "dev.conll") == 0
    shown = capsys.readouterr().out
    assert "BIO" in shown
    assert run("check", trained / "train.conll", trained / "train.conll") == 1
    assert run("check", trained / "train.conll", "--json") == 0


def test_info(trained, capsys):
    assert run("info") == 0
    assert "default backbone" in capsys.readouterr().out
    assert run("info", trained / "tagger", "--json") == 0
    assert json.loads(capsys.readouterr().out)["labels"] == "LOC MISC ORG PER"


def test_store(trained, capsys, tmp_path):
    assert run("store", "list") == 0
    assert run("store", "list", "--json") == 0
    assert run("store", "verify") == 0
    assert run("store", "list", "--store", tmp_path) == 0
    assert run("store", "clear") == 2
    assert "--all" in capsys.readouterr().err
    assert run("store", "clear", "--all", "--store", tmp_path) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "--train FILE"),
        (["train", "--train", "nowhere.conll"], "no such file"),
        (["train", "--epocs", "3"], "--epochs"),
        (["train", "--epochs", "many"], "--epochs: should be a valid integer"),
        (["train", "--preset", "fats"], "--preset: should be 'default', 'fast' or 'accurate'"),
        (["train", "--lstm-width", "0"], "--lstm-width: should be greater than"),
        (["train", "--layers", "3", "x"], "--layers: should be a valid integer"),
        (["train", "--lora.rank", "0"], "--lora.rank: should be greater than"),
        (["serve", "--port", "99999"], "--port: should be less than or equal to 65535, found"),
        (["train", "--resume"], "no run to resume"),
        (["train", "--config", "nowhere.toml"], "no such file"),
        (["tag", "--model", "tagger", "text"], "no such folder"),
        (["tag", "text", "--model", "."], "not a tagger"),
        (["evaluate", "nowhere", "--data", "x"], "no such folder"),
        (["evaluate", "."], "not a tagger"),
        (["evaluate", ".", "--data", "x", "--report", "no/report.html"], "there is no no"),
        (["compare", "nowhere", ".", "--data", "x"], "no such folder or file"),
        (["card", "nowhere", "--data", "x"], "no such folder"),
        (["check", "nowhere.conll"], "no such file"),
        (["info", "nowhere"], "no such folder"),
        (["benchmark", "nowhere"], "no such folder"),
        (["benchmark", "--file", "nowhere.txt"], "no such file"),
        (["benchmark", "--file", "x.txt", "--stdin"], "only one of them"),
        (["benchmark", "--precision", "float8"], "bfloat16"),
        (["frobnicate"], "frobnicate"),
        (["check", "x" * 300], "File name too long"),
        (["train", "--token-budget", "x"], "--token-budget: should be a valid integer"),
        (["train", "--language", "english", "--train", "x"], "give a code such as en"),
        (["train", "--train", "x", "--output", "x" * 300], "File name too long"),
        (["plan", "--model", "~nobody-here/model"], "no such user"),
        (["store", "list", "--store", "~nobody-here/x"], "no such user"),
    ],
)
def test_mistakes_are_told_without_a_traceback(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    told = " ".join((captured.out + captured.err).replace("│", " ").split())
    assert message in told
    assert "Traceback" not in told


def test_the_name_of_a_file_is_not_tagged_as_a_text(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.txt").write_text("Ana flew to Oslo.")
    assert run("tag", "reviews.txt") == 2
    assert "llamaner tag --file reviews.txt" in " ".join(capsys.readouterr().err.split())


def test_a_report_takes_no_other_file_s_place(trained, tmp_path, capsys):
    gold = tmp_path / "gold.conll"
    gold.write_text("Oslo B-LOC\n")
    for command in (["evaluate"], ["compare", trained / "tagger"]):
        arguments = [*command, trained / "tagger", "--data", gold, "--report", gold]
        assert run(*arguments) == 2
        assert "would be lost" in capsys.readouterr().err
    assert gold.read_text() == "Oslo B-LOC\n"
    page = tmp_path / "report.html"
    for _ in range(2):
        assert run("evaluate", trained / "tagger", "--data", gold, "--report", page) == 0


def test_labels_that_cannot_agree_are_told(tmp_path, capsys):
    for name, label in (("gold", "Place"), ("found", "LOC")):
        (tmp_path / f"{name}.conll").write_text(f"Oslo B-{label}\n")
    data = ["--data", tmp_path / "gold.conll"]
    assert run("evaluate", tmp_path / "found.conll", *data) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "no label is in both the gold data (Place) and what was found (LOC)" in told
    assert run("evaluate", tmp_path / "gold.conll", *data) == 0
    assert "no label" not in capsys.readouterr().err


def test_a_text_and_files_exclude_each_other(trained, capsys):
    assert run("tag", "text", "--file", "x.txt", "--model", trained / "tagger") == 2
    assert run("tag", "text", "--min-confidence", "7", "--model", trained / "tagger") == 2


def test_input_that_is_not_utf_8_is_named(trained, capsys, typed):
    typed(b"caf\xe9 in Paris")
    assert run("tag", "--model", trained / "tagger") == 2
    assert "UTF-8" in capsys.readouterr().err


def test_a_reader_that_closes_the_pipe_ends_it_quietly(trained):
    command = [sys.executable, "-m", "llamaner.cli", "tag", "--lines", "--model"]
    process = subprocess.Popen(
        [*command, str(trained / "tagger")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    process.stdin.write(b"Ana flew.\n" * 5)
    process.stdin.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=100) == 0
    assert b"Traceback" not in errors


def test_ctrl_c_before_the_first_step_does_not_advise_to_resume(tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("llamaner.training.train", interrupted)
    assert run("train", "--train", "train.conll", "--output", tmp_path / "new") == 130
    told = capsys.readouterr().err
    assert "--resume" not in told
    assert "not computed again" in told


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_ends_a_run_that_can_be_resumed(trained, tmp_path):
    arguments = ["--config", f"{trained}/run.toml", "--output", str(tmp_path / "run")]
    process = subprocess.Popen(
        [sys.executable, "-m", "llamaner.cli", "train", *arguments, "--epochs", "200"],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 200
    while not list((tmp_path / "run" / "training").glob("epoch-00??")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "--resume" in errors


def measured(capsys, *arguments):
    assert run("benchmark", *arguments, "--device", "cpu", "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_benchmark_counts_the_text_and_orders_its_percentiles(trained, capsys):
    dev = trained / "dev.conll"
    found = measured(capsys, trained / "tagger", dev, "--seconds", "2")
    words = sum(map(len, read_conll(dev).sentences))
    assert found["text_words"] == words
    assert 0 < found["words"] <= words < found["subwords"] * words / found["words"]
    assert found["rounds"] >= 3
    low, high = found["words_per_second_range"]
    assert 0 < low <= found["words_per_second"] <= high
    assert found["latency_median_ms"] <= found["latency_p90_ms"] <= found["latency_p99_ms"]
    assert 0 < found["backbone_share"] < 1
    assert 0 < found["memory_before_mib"] <= found["memory_peak_mib"]
    assert found["device"] == "cpu"


def test_benchmark_bounds_its_time_by_using_a_part_of_the_text(trained, capsys):
    arguments = (trained / "tagger", trained / "dev.conll", "--token-budget", "100")
    found = measured(capsys, *arguments, "--seconds", "0.001")
    batch_words = 100 // 2
    longest = max(map(len, read_conll(trained / "dev.conll").sentences))
    assert batch_words <= found["words"] < batch_words + longest < found["text_words"]
    assert found["rounds"] == 3
    assert found["latency_sentences"] == 1


def test_benchmark_takes_files_and_texts_after_the_model(trained, capsys, tmp_path):
    name = tmp_path / "two words.txt"
    name.write_text("Ana flew to Paris.", "utf-8")
    tagger, brief = trained / "tagger", ("--seconds", "0.001")
    both = measured(capsys, tagger, name, "She stayed. It rained.", *brief)
    assert (both["documents"], both["sentences"], both["words"]) == (2, 3, 11)
    named = measured(capsys, tagger, "--file", name, *brief)
    assert (named["documents"], named["words"]) == (1, 5)


def test_benchmark_tells_what_it_cannot_measure(trained, typed, capsys, tmp_path):
    typed(b"  ")
    assert run("benchmark", trained / "tagger", "--stdin") == 2
    assert "no words" in capsys.readouterr().err
    for seconds in ("0", "-1", "nan"):
        assert run("benchmark", trained / "tagger", "--seconds", seconds) == 2
        assert "--seconds must be more than 0" in capsys.readouterr().err
    assert run("benchmark", trained / "tagger", "reviews.text") == 2
    assert "reviews.text: no such file" in capsys.readouterr().err
    (tmp_path / "my.txt").write_text("Ana flew.")
    assert run("benchmark", tmp_path / "my.txt") == 2
    assert "llamaner benchmark --file" in capsys.readouterr().err
