"""What Prometheus can ask for at ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from llamaner.service.work import Finding, Work

_PATHS = frozenset(
    {"/", "/v1/tag", "/v1/tag/stream", "/v1/model", "/healthz", "/readyz", "/metrics"}
)
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of one service. No text and no key is in them."""

    def __init__(self, claimed: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        here: dict[str, Any] = {"registry": self.registry}
        self._requests = Counter(
            "llamaner_requests", "Requests answered.", ["method", "path", "status"], **here
        )
        self._seconds = Histogram(
            "llamaner_request_seconds", "Time to the end of an answer.", ["path"], buckets=_SECONDS,
            **here,
        )  # fmt: skip
        self._texts = Counter("llamaner_texts", "Texts tagged.", **here)
        self._subwords = Counter("llamaner_subwords", "Subwords tagged, estimated.", **here)
        self._entities = Counter("llamaner_entities", "Entities found.", ["label"], **here)
        self._batch_seconds = Histogram(
            "llamaner_batch_seconds", "Time of a batch.", buckets=_SECONDS, **here
        )
        self._batch_texts = Histogram(
            "llamaner_batch_texts", "Texts in a batch.", buckets=[2**i for i in range(11)], **here
        )
        self._waiting = Gauge(
            "llamaner_queue_subwords", "Subwords of unanswered requests, estimated.", **here
        )
        self._waiting.set_function(claimed)

    def request(self, method: str, path: str, status: int, seconds: float) -> None:
        """A request was answered. Unknown paths and methods count as one."""
        known = path if path in _PATHS else "other"
        method = method if method in ("GET", "HEAD", "POST", "OPTIONS") else "other"
        self._requests.labels(method, known, str(status)).inc()
        self._seconds.labels(known).observe(seconds)

    def batch(self, works: Sequence[Work], seconds: float) -> None:
        """A batch of works was tagged."""
        self._batch_seconds.observe(seconds)
        self._batch_texts.observe(sum(len(work.texts) for work in works))
        self._subwords.inc(sum(work.subwords for work in works))

    def findings(self, findings: Sequence[Finding]) -> None:
        """Texts were answered."""
        self._texts.inc(len(findings))
        for finding in findings:
            for entity in finding.entities:
                self._entities.labels(entity.label).inc()

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return generate_latest(self.registry)
