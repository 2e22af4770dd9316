"""Clients that are too many, too large, too slow, or not clients at all; others are served."""

import json
import socket
import struct
import threading
import time

import pytest

from llamaner.configuration import ServiceSettings
from llamaner.errors import ConfigurationError
from llamaner.service import ApiKeys, read_api_keys

POST = b"POST /v1/tag HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def strict(run_server, tagger):
    """A server that has little patience."""
    settings = ServiceSettings(max_body_bytes=4096, receive_seconds=1, max_connections=40)
    with run_server(lambda: tagger, settings) as here:
        here.wait_until(lambda: here.ask("GET", "/readyz").status == 200)
        yield here


class Gate:
    """A tagger that works only while the gate is open, and remembers what it was given."""

    def __init__(self, tagger):
        self._tagger = tagger
        self.config, self.labels = tagger.config, tagger.labels
        self.tag = tagger.tag
        self.opened = threading.Event()
        self.busy = threading.Event()
        self.seen = []

    def tag_documents(self, documents):
        self.seen.append([document.text for document in documents])
        self.busy.set()
        assert self.opened.wait(60)
        return self._tagger.tag_documents(documents)


@pytest.fixture
def gate(tagger):
    gate = Gate(tagger)
    yield gate
    gate.opened.set()


def everything(connection):
    """What the server sends until it closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def problem(data):
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return json.loads(body)


def waiting(here):
    """How many works wait in the queue."""
    return sum(len(ticket.waiting) for ticket in list(here.service.batcher._turns))


def start(function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    return thread


def test_a_body_that_says_it_is_huge_is_refused_before_it_is_sent(strict):
    with strict.connect() as connection:
        connection.sendall(POST + b"Content-Length: 99999999999\r\n\r\n")
        assert problem(everything(connection))["status"] == 413
    with strict.connect() as connection:
        connection.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 999999\r\n\r\n")
        told = everything(connection)
    assert b"100 Continue" not in told
    assert problem(told)["status"] == 413


def test_a_body_that_is_huge_without_saying_so_is_refused_while_it_comes(strict):
    with strict.connect() as connection:
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(200):
            connection.sendall(b"1000\r\n" + b"a" * 4096 + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert problem(everything(connection))["status"] == 413
    assert strict.tag({"text": "a" * 5000}).status == 413


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 4,
        b"\x00" * 5000,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Long: " + b"a" * 400_000 + b"\r\n\r\n",
        b"GET /\r\n\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Transfer-Encoding: gzip\r\n\r\n",
    ],
)
def test_what_is_not_http_gets_its_error(strict, garbage):
    with strict.connect() as connection:
        connection.sendall(garbage)
        told = problem(everything(connection))
    assert 400 <= told["status"] < 500 or told["status"] == 501
    assert strict.tag({"text": "Oslo."}).status == 200


def test_a_broken_chunk_breaks_nothing_else(strict):
    with strict.connect() as connection:
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n\xff\xff")
        assert problem(everything(connection))["status"] == 400
    assert strict.tag({"text": "Oslo."}).status == 200


def test_slow_heads_and_bodies_are_cut_off_while_others_are_served(strict):
    slow = [strict.connect() for _ in range(30)]
    heads, bodies = slow[:15], slow[15:]
    for connection in heads:
        connection.sendall(b"POST /v1/tag HTTP/1.1\r\nHost: x\r\n")
    for connection in bodies:
        connection.sendall(POST + b'Content-Length: 100\r\n\r\n{"text": "')
    until = time.monotonic() + 60
    answered = 0
    while time.monotonic() < until and any(connection.fileno() >= 0 for connection in slow):
        for number, connection in enumerate(slow):
            if connection.fileno() < 0:
                continue
            try:
                connection.sendall(b"X-%d: y\r\n" % number if number < 15 else b"a")
            except OSError:
                connection.close()
        assert strict.tag({"text": "Ana flew to Oslo."}).status == 200
        answered += 1
        time.sleep(0.1)
    assert all(connection.fileno() < 0 for connection in slow)
    assert answered
    strict.wait_until(lambda: len(strict.server.server_state.connections) <= 1)


@pytest.mark.parametrize("sent", [b"POST /v1/tag HT", POST + b'Content-Length: 99\r\n\r\n{"te'])
def test_a_slow_client_is_told(strict, sent):
    with strict.connect() as connection:
        connection.sendall(sent)
        assert problem(everything(connection))["status"] == 408


def test_a_kept_connection_may_not_begin_a_request_and_leave_it(strict):
    with strict.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in connection.recv(65536)
        connection.sendall(b"GET /heal")
        assert problem(everything(connection))["status"] == 408


def test_a_client_that_takes_no_answer_is_cut_off(run_server, gate):
    # A reader that never reads, of more than the buffers of both sides hold.
    settings = ServiceSettings(receive_seconds=1, max_characters=10**6)
    gate.opened.set()
    with run_server(lambda: gate, settings) as here:
        here.wait_until(lambda: here.ask("GET", "/readyz").status == 200)
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect(("127.0.0.1", here.port))
        with connection:
            for _ in range(400):
                connection.sendall(b"GET /page/app.js HTTP/1.1\r\nHost: x\r\n\r\n")
            here.wait_until(lambda: not here.server.server_state.connections)


def test_more_connections_than_allowed_are_told_so(strict):
    held = [strict.connect() for _ in range(40)]
    try:
        strict.wait_until(lambda: len(strict.server.server_state.connections) == 40)
        with strict.connect() as connection:
            told = everything(connection)
        assert problem(told)["status"] == 503
        assert b"Retry-After" in told
    finally:
        for connection in held:
            connection.close()
    strict.wait_until(lambda: not strict.server.server_state.connections)
    assert strict.tag({"text": "Oslo."}).status == 200


def test_a_full_queue_refuses_and_recovers(run_server, gate):
    settings = ServiceSettings(queue_subwords=200, batch_subwords=100)
    with run_server(lambda: gate, settings) as here:
        here.wait_until(lambda: here.ask("GET", "/readyz").status == 200)
        answers = []
        text = {"text": "Ana flew to Oslo. " * 20}
        threads = [start(lambda: answers.append(here.tag(text))) for _ in range(6)]
        here.wait_until(lambda: len(answers) == 4)
        assert {answer.status for answer in answers} == {429}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
        assert here.ask("POST", "/v1/tag/stream", text).status == 429
        gate.opened.set()
        for thread in threads:
            thread.join()
        assert sorted(answer.status for answer in answers) == [200, 200, 429, 429, 429, 429]
        assert here.tag(text).status == 200
        assert here.service.batcher.claimed == 0


def test_a_long_list_does_not_hold_up_a_short_request(run_server, gate):
    settings = ServiceSettings(batch_subwords=64)
    with run_server(lambda: gate, settings) as here:
        here.wait_until(lambda: here.ask("GET", "/readyz").status == 200)
        long = start(here.tag, {"text": ["Ana flew to Oslo and stayed."] * 200})
        assert gate.busy.wait(30)
        short = start(here.tag, {"text": "Jordan won."})
        here.wait_until(lambda: here.service.batcher.claimed > 66)
        gate.opened.set()
        long.join()
        short.join()
    place = next(i for i, texts in enumerate(gate.seen) if "Jordan won." in texts)
    assert place <= 2 < len(gate.seen)


def test_who_went_away_or_waited_too_long_is_dropped_from_the_queue(run_server, gate):
    settings = ServiceSettings(request_seconds=1)
    with run_server(lambda: gate, settings) as here:
        here.wait_until(lambda: here.ask("GET", "/readyz").status == 200)
        first = start(here.tag, {"text": "first"})
        assert gate.busy.wait(30)
        body = b'{"text": "vanished"}'
        for path in (b"/v1/tag", b"/v1/tag/stream"):
            connection = here.connect()
            head = POST.replace(b"/v1/tag", path)
            connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            here.wait_until(lambda: waiting(here) == 1)
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.close()
            here.wait_until(lambda: waiting(here) == 0)
        late = here.tag({"text": "late"})
        assert late.status == 503
        assert "retry-after" in late.headers
        line = here.ask("POST", "/v1/tag/stream", {"text": ["late"]}).json()
        assert line["error"]["status"] == 503
        gate.opened.set()
        first.join()
        here.wait_until(lambda: here.tag({"text": "last"}).status == 200)
    assert {text for texts in gate.seen for text in texts} == {"first", "last"}


def test_keys_are_read_from_file_and_variable(tmp_path, monkeypatch):
    file = tmp_path / "keys"
    file.write_text("# who\nkey-of-somebody-1234\n\n")
    monkeypatch.setenv("LLAMANER_API_KEYS", "key-of-another-5678, ")
    keys = read_api_keys(file)
    assert keys.admit("Bearer key-of-somebody-1234")
    assert keys.admit("bearer key-of-another-5678")
    for wrong in (None, "", "Bearer", "Bearer key-of", "key-of-another-5678", "Bearer # who"):
        assert not keys.admit(wrong)
    monkeypatch.delenv("LLAMANER_API_KEYS")
    assert read_api_keys(None).admit(None)
    for wrong, told in [("short", "16 characters"), ("# nothing", "no API key")]:
        file.write_text(wrong)
        with pytest.raises(ConfigurationError, match=told):
            read_api_keys(file)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_api_keys(tmp_path / "none")


def test_a_refusal_reaches_a_client_that_is_still_sending(run_server, tagger):
    with run_server(lambda: tagger, keys=ApiKeys(["key-0123456789abcdef"])) as here:
        answer = here.tag({"text": "a" * 900_000})
        assert answer.status == 401
