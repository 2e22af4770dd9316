"""A tiny tagger that finds a lot, and real servers of it on this machine alone."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection

import pytest
import torch

from llamaner.configuration import HeadSettings, ServiceSettings
from llamaner.service import create_app
from llamaner.service.server import make_server
from llamaner.tagger import NerTagger


@pytest.fixture(scope="session")
def tagger(tiny_backbone, sample):
    torch.manual_seed(3)
    words = [word for sentence in sample("dev").sentences for word in sentence.words]
    head = HeadSettings(lstm_width=16, character_width=8)
    tagger = NerTagger.create(tiny_backbone, ["PER", "LOC", "ORG"], words, head=head)
    with torch.no_grad():
        tagger.network.emit.bias[1:] += 0.3
        tagger.network.emit.weight *= 20
    return tagger


@pytest.fixture(scope="session")
def tagger_folder(tagger, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagger")
    tagger.save_pretrained(folder)
    return folder


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        return json.loads(self.body)


@dataclass
class Running:
    """A server in a thread of this process."""

    port: int
    app: object
    server: object

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def service(self):
        return self.app.state.service

    def ask(self, method, path, value=None, *, body=None, headers=None, timeout=60):
        """An answer, over a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        sent = dict(headers or {})
        if value is not None:
            body = json.dumps(value).encode()
            sent.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def tag(self, value, **options):
        return self.ask("POST", "/v1/tag", value, **options)

    def connect(self):
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def wait_until(self, condition, seconds=30):
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "it did not happen"
            time.sleep(0.01)


@contextmanager
def running(load, settings=None, keys=None):
    settings = settings or ServiceSettings()
    app = create_app(load, settings, keys)
    server = make_server(app, settings)
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    here = Running(listener.getsockname()[1], app, server)
    try:
        here.wait_until(lambda: server.started)
        yield here
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def run_server():
    """A context manager: the server of a function that loads a tagger, settings and keys."""
    return running


@pytest.fixture(scope="module")
def service(tagger):
    """A server of the tiny tagger, ready."""
    with running(lambda: tagger) as here:
        here.wait_until(lambda: here.ask("GET", "/readyz").status == 200)
        yield here
