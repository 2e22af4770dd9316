"""`llamaner serve` as a process: what it says, and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.client import HTTPConnection

import pytest

from llamaner.cli import main

SECRET = "Xylophone Zanzibar"


@contextmanager
def process(folder, *arguments, **variables):
    """A server in a process of its own: the process, its port, and the lines that it logs."""
    started = subprocess.Popen(
        [sys.executable, "-m", "llamaner.cli", "serve", str(folder), "--port", "0", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )
    lines = []
    port = None
    for line in started.stderr:
        lines.append(line)
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
            port = int(found[1])
            break
    reader = threading.Thread(target=lambda: lines.extend(started.stderr))
    reader.start()
    try:
        assert port, "".join(lines)
        while ask(port, "GET", "/readyz")[0] != 200:
            assert started.poll() is None, "".join(lines)
        yield started, port, lines
    finally:
        started.kill()
        started.wait()
        reader.join()
        started.stderr.close()


def ask(port, method, path, value=None, headers=None):
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    body = None if value is None else json.dumps(value)
    try:
        sent = {"Content-Type": "application/json", **(headers or {})}
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_sigterm_under_load_loses_nothing_and_no_text_is_logged(tagger_folder):
    texts = [f"{SECRET} {number} flew to Oslo." for number in range(50)]
    answers = []

    def ask_often(port):
        # One connection for all, as clients do; it is closed by the server.
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            for _ in range(1000):
                try:
                    connection.connect()
                except ConnectionRefusedError:
                    return
                while connection.sock is not None:
                    body = json.dumps({"text": texts})
                    sent = {"Content-Type": "application/json"}
                    connection.request("POST", "/v1/tag", body, sent)
                    response = connection.getresponse()
                    answers.append((response.status, len(json.loads(response.read())["results"])))
        finally:
            connection.close()

    with process(tagger_folder) as (server, port, lines):
        ask(port, "POST", "/v1/tag", {"text": SECRET, "labels": [SECRET]})
        ask(port, "POST", "/v1/tag", {SECRET: SECRET})
        failures = []
        threading.excepthook, before = (
            lambda told: failures.append(told.exc_value),
            (threading.excepthook),
        )
        threads = [threading.Thread(target=ask_often, args=(port,)) for _ in range(8)]
        try:
            for thread in threads:
                thread.start()
            while len(answers) < 20:
                assert server.poll() is None
            server.send_signal(signal.SIGTERM)
            for thread in threads:
                thread.join(60)
        finally:
            threading.excepthook = before
        assert server.wait(30) == 0
    assert failures == []
    assert set(answers) == {(200, 50)}
    logged = "".join(lines)
    assert "POST /v1/tag" in logged
    assert "Traceback" not in logged
    assert "Zanzibar" not in logged


def test_texts_are_logged_when_asked_for_and_keys_come_from_the_environment(tagger_folder):
    key = "key-0123456789abcdef"
    variables = {"LLAMANER_API_KEYS": key}
    with process(tagger_folder, "--log-texts", **variables) as (server, port, lines):
        value = {"text": SECRET}
        assert ask(port, "POST", "/v1/tag", value)[0] == 401
        assert ask(port, "POST", "/v1/tag", value, {"Authorization": f"Bearer {key}"})[0] == 200
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0
    logged = "".join(lines)
    assert "Zanzibar" in logged
    assert key not in logged


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def test_mistakes_are_told(tagger_folder, capsys, monkeypatch, tmp_path):
    def told(*arguments):
        assert run("serve", *arguments) == 2
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return " ".join((shown.out + shown.err).replace("│", " ").split())

    assert "no such folder" in told("nowhere")
    assert "cannot listen" in told(tagger_folder, "--host", "256.1.1.1")
    assert "cannot be read" in told(tagger_folder, "--api-keys", tmp_path / "none")
    assert "65535" in told(tagger_folder, "--port", "99999")
    monkeypatch.setitem(sys.modules, "llamaner.service", None)
    assert "pip install 'llamaner[serve]'" in told(tagger_folder)


def test_a_backbone_that_is_gone_ends_it_with_a_sentence(tagger_folder, tmp_path, capsys):
    config = json.loads((tagger_folder / "config.json").read_text())
    config["backbone"]["model"] = str(tmp_path / "gone")
    (tmp_path / "tagger").mkdir()
    (tmp_path / "tagger" / "config.json").write_text(json.dumps(config))
    weights = (tagger_folder / "model.safetensors").read_bytes()
    (tmp_path / "tagger" / "model.safetensors").write_bytes(weights)
    assert run("serve", tmp_path / "tagger", "--port", "0") == 2
    shown = capsys.readouterr().err
    assert "gone" in shown
    assert "Traceback" not in shown


def test_help_shows_an_example(capsys):
    assert run("serve", "--help") == 0
    shown = capsys.readouterr().out
    assert "llamaner serve" in shown.split("Example")[1]
    for flag in ("--host", "--port", "--api-keys", "--cors-origins", "--log-texts"):
        assert flag in shown
