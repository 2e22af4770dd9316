"""What clients send and get, over real connections."""

import json
import threading

import pytest

from llamaner.configuration import ServiceSettings
from llamaner.corpus import segment
from llamaner.errors import BackboneError
from llamaner.service import ApiKeys

TEXT = "Ana Lučić 👩‍🚀 flew to Paris. Nobody followed.\n\nJordan won."


def plain(entities):
    return [
        {
            "start": e.start,
            "end": e.end,
            "label": e.label,
            "text": e.text,
            "confidence": pytest.approx(e.confidence, abs=1e-3),
        }
        for e in entities
    ]


def test_a_text_is_answered_as_the_tagger_answers(service, tagger):
    answer = service.tag({"text": TEXT})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    (result,) = answer.json()["results"]
    assert result["entities"] == plain(tagger.tag(TEXT))
    assert all(TEXT[e["start"] : e["end"]] == e["text"] for e in result["entities"])


def test_texts_are_answered_in_order(service, tagger):
    texts = [TEXT, "", "Oslo.", " \n ", "Jordan won in Lyon. " * 20]
    answer = service.tag({"text": texts})
    expected = [{"entities": plain(entities)} for entities in tagger.tag(texts)]
    assert answer.json() == {"results": expected}
    assert service.tag({"text": []}).json() == {"results": []}


def test_threshold_and_labels(service, tagger):
    found = tagger.tag(TEXT)
    (result,) = service.tag({"text": TEXT, "threshold": 0.6}).json()["results"]
    assert result["entities"] == plain(e for e in found if e.confidence >= 0.6)
    (result,) = service.tag({"text": TEXT, "labels": ["PER"]}).json()["results"]
    assert result["entities"] == plain(e for e in found if e.label == "PER")
    assert 0 < len(result["entities"]) < len(found)


def test_sentences_given_as_words(service, tagger):
    words = [["Ana", "Lučić", "flew", "to", "Paris", "."], [], ["Jordan"]]
    answer = service.tag({"text": words, "words": True})
    results = answer.json()["results"]
    expected = tagger.tag([w for w in words if w])
    assert [r["entities"] for r in results] == [plain(expected[0]), [], plain(expected[1])]
    assert results[0]["words"] == [[0, 3], [4, 9], [10, 14], [15, 17], [18, 23], [24, 25]]
    assert results[0]["sentences"] == [[0, 25]]


def test_words_and_sentences_are_told_on_request(service):
    (result,) = service.tag({"text": TEXT, "words": True}).json()["results"]
    sentences = segment(TEXT)
    words = [[s.start + a, s.start + b] for s in sentences for a, b in s.spans]
    assert result["words"] == words
    assert result["sentences"] == [[s.start, s.start + len(s.text)] for s in sentences]


def test_texts_of_a_document_reach_the_tagger_as_one(service, tagger, monkeypatch):
    seen = []
    original = tagger.tag_documents

    def watched(documents):
        seen.extend(documents)
        return original(documents)

    monkeypatch.setattr(tagger, "tag_documents", watched)
    texts = ["Ana flew to Paris.", "Oslo is far.", "She stayed. In Lyon."]
    names = ["a", "b", "a"]
    answer = service.tag({"text": texts, "documents": names})
    assert [d.text for d in seen] == ["Ana flew to Paris.\n\nShe stayed. In Lyon.", "Oslo is far."]
    assert [len(d) for d in seen] == [3, 1]
    for text, result in zip(texts, answer.json()["results"], strict=True):
        assert all(text[e["start"] : e["end"]] == e["text"] for e in result["entities"])
    assert any(result["entities"] for result in answer.json()["results"][2:])
    wrong = service.tag({"text": texts, "documents": ["a"]})
    assert wrong.status == 422


def test_the_shape_of_a_transformers_pipeline(service, tagger):
    expected = [
        {
            "entity_group": e.label,
            "score": pytest.approx(e.confidence, abs=1e-3),
            "word": e.text,
            "start": e.start,
            "end": e.end,
        }
        for e in tagger.tag(TEXT)
    ]
    assert service.tag({"text": TEXT, "format": "pipeline"}).json() == expected
    assert service.tag({"text": [TEXT], "format": "pipeline"}).json() == [expected]


def test_a_stream_gives_a_line_for_each_text(service, tagger):
    texts = [f"Jordan {number} won in Lyon." for number in range(300)]
    answer = service.ask("POST", "/v1/tag/stream", {"text": texts})
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert [line["index"] for line in lines] == list(range(300))
    assert [line["entities"] for line in lines] == [plain(e) for e in tagger.tag(texts)]


def test_what_stands_in_the_description_of_the_model(service, tagger):
    model = service.ask("GET", "/v1/model").json()
    assert model["labels"] == ["LOC", "ORG", "PER"]
    assert model["limits"]["texts"] == 1000
    assert "/" not in model["backbone"]


def test_health_metrics_and_description(service):
    assert service.ask("GET", "/healthz").json() == {"status": "ok"}
    assert service.ask("GET", "/readyz").json() == {"status": "ready"}
    service.tag({"text": TEXT})
    told = service.ask("GET", "/metrics").body.decode()
    assert 'llamaner_requests_total{method="POST",path="/v1/tag",status="200"}' in told
    assert "llamaner_texts_total" in told
    assert "process_resident_memory_bytes" in told
    assert "Paris" not in told
    described = service.ask("GET", "/openapi.json").json()
    assert "ProblemDetails" in described["components"]["schemas"]
    assert "HTTPValidationError" not in json.dumps(described)
    body = described["paths"]["/v1/tag"]["post"]["requestBody"]["content"]["application/json"]
    for example in body["examples"].values():
        assert service.tag(example["value"]).status == 200


@pytest.mark.parametrize(
    ("value", "status", "told"),
    [
        ({}, 422, "/text"),
        ({"text": 3}, 422, "/text"),
        ({"text": "a", "threshold": 2}, 422, "/threshold"),
        ({"text": "a", "threshold": float("nan")}, 422, "/threshold"),
        ({"text": "a", "labels": ["CITY"]}, 422, "LOC, ORG, PER"),
        ({"text": "a", "labels": []}, 422, "/labels"),
        ({"text": "a", "speed": 1}, 422, "/speed"),
        ({"text": [["a", ""]]}, 422, "/text"),
        ({"text": ["a", ["b"]]}, 422, "/text"),
        ({"text": "\ud800"}, 422, "/text"),
        ({"text": ["a"] * 1001}, 413, "1,001 texts"),
        ({"text": "a" * 20_001}, 413, "20,001 characters"),
        ({"text": ["a" * 15_000] * 2, "documents": ["d", "d"]}, 413, "30,000 characters"),
    ],
)
def test_what_is_wrong_is_told_as_a_problem(service, value, status, told):
    answer = service.tag(value)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert told in answer.body.decode()
    assert service.ask("POST", "/v1/tag/stream", value).status == status


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/nowhere", {}, 404),
        ("GET", "/page/../server.py", {}, 404),
        ("GET", "/v1/tag", {}, 405),
        ("POST", "/v1/tag", {"body": b'{"text": "a"}'}, 415),
        ("POST", "/v1/tag", {"body": b"text=a", "headers": {"Content-Type": "text/plain"}}, 415),
        ("POST", "/v1/tag", {"body": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        (
            "POST",
            "/v1/tag",
            {"body": bytes(range(256)), "headers": {"Content-Type": "application/json"}},
            400,
        ),
        (
            "POST",
            "/v1/tag",
            {"body": b"[" * 100_000, "headers": {"Content-Type": "application/json"}},
            400,
        ),
    ],
)
def test_wrong_requests_get_their_problem(service, method, path, options, status):
    answer = service.ask(method, path, **options)
    assert answer.status == status
    assert answer.json()["status"] == status


def test_every_answer_has_security_headers(service):
    for path in ("/", "/healthz", "/nowhere", "/v1/tag"):
        headers = service.ask("GET", path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers


def test_answers_do_not_depend_on_who_else_asks(service, tagger, sample):
    texts = [s.text for s in sample("dev").sentences][:60]
    alone = [tagger.tag(text) for text in texts]
    answers = [None] * len(texts)

    def ask(index):
        answers[index] = service.tag({"text": texts[index]}).json()["results"][0]["entities"]

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = service.ask("GET", "/metrics").body.decode()
    count = next(x for x in told.splitlines() if x.startswith("llamaner_batch_texts_count"))
    total = next(x for x in told.splitlines() if x.startswith("llamaner_batch_texts_sum"))
    assert float(total.split()[1]) > float(count.split()[1]), "nothing was tagged together"
    assert answers == [plain(entities) for entities in alone]


def test_keys(run_server, tagger):
    with run_server(lambda: tagger, keys=ApiKeys(["first-key-0123456789", "other-key"])) as here:
        here.wait_until(lambda: here.ask("GET", "/readyz").status == 200)
        for path in ("/", "/healthz", "/openapi.json", "/page/style.css"):
            assert here.ask("GET", path).status == 200
        for path in ("/v1/model", "/metrics"):
            assert here.ask("GET", path).status == 401
        refused = here.tag({"text": TEXT})
        assert refused.status == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert here.tag({"text": "x"}, headers={"Authorization": "Bearer wrong"}).status == 401
        assert here.tag({"text": "x"}, headers={"Authorization": "Basic other-key"}).status == 401
        for key in ("first-key-0123456789", "other-key"):
            assert here.tag({"text": "x"}, headers={"Authorization": f"Bearer {key}"}).status == 200
        schemes = here.ask("GET", "/openapi.json").json()["components"]["securitySchemes"]
        assert schemes == {"key": {"type": "http", "scheme": "bearer"}}


def test_other_sites_may_ask_only_where_they_are_named(run_server, tagger):
    settings = ServiceSettings(cors_origins=("https://example.org",))
    asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    with run_server(lambda: tagger, settings) as here:
        allowed = here.ask("OPTIONS", "/v1/tag", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == "https://example.org"
        other = here.ask("OPTIONS", "/v1/tag", headers={**asked, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


def test_while_the_tagger_is_loaded_and_when_it_cannot_be(run_server, tagger):
    go = threading.Event()

    def load():
        assert go.wait(60)
        return tagger

    with run_server(load) as here:
        assert here.ask("GET", "/healthz").status == 200
        assert here.ask("GET", "/readyz").status == 503
        waiting = here.tag({"text": TEXT})
        assert waiting.status == 503
        assert int(waiting.headers["retry-after"]) >= 1
        go.set()
        here.wait_until(lambda: here.ask("GET", "/readyz").status == 200)

    def fail():
        raise BackboneError("there is none")

    with run_server(fail) as here:
        here.wait_until(lambda: here.service.batcher.failure is not None)
        assert isinstance(here.service.batcher.failure, BackboneError)
        assert here.ask("GET", "/readyz").status == 503


def test_a_text_that_cannot_be_tagged_fails_alone(run_server, tagger, monkeypatch, capsys):
    original = tagger.tag_documents

    def fails(documents):
        if any("poison" in document.text for document in documents):
            raise ValueError(f"cannot read {documents[0].text}")
        return original(documents)

    monkeypatch.setattr(tagger, "tag_documents", fails)
    with run_server(lambda: tagger) as here:
        here.wait_until(lambda: here.ask("GET", "/readyz").status == 200)
        answers = {}
        threads = [
            threading.Thread(target=lambda t=t: answers.update({t: here.tag({"text": t}).status}))
            for t in ["poison", *(f"Oslo {i}." for i in range(10))]
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers.pop("poison") == 500
        assert set(answers.values()) == {200}
        streamed = here.ask("POST", "/v1/tag/stream", {"text": ["Oslo.", "poison", "Lyon."]})
        lines = [json.loads(line) for line in streamed.body.splitlines()]
        assert lines[0]["index"] == 0
        assert lines[-1]["error"]["status"] == 500
    logged = capsys.readouterr().err
    assert "ValueError" in logged
    assert "poison" not in logged
