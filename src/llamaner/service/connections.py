"""uvicorn's HTTP/1.1 protocol, with time limits that it lacks.

The head of a request must come in time, and a client must take its answer: without that, some
hundred connections that send a byte now and then (slowloris), or never read, hold a server up.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from llamaner.service.problems import ProblemError, busy

_LINGER_SECONDS = 1.0
_DRAIN_SECONDS = 3.0


class TimedProtocol(H11Protocol):
    """One connection; see ``timed_protocol``."""

    seconds: ClassVar[float]
    max_connections: ClassVar[int]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._received = False
        self._draining = False
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the head of the first request."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._answer(busy("there are too many connections"))
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        """Hand data on, and see whether a head is complete with them, or has only begun."""
        if self._refused:
            return
        self._received = True
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._stop(self._head_timer)
            self._head_timer = None
            self._received = False
            self.cycle.keep_alive = not self._draining
        elif self._head_timer is None and self._is_idle():
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        super().connection_lost(exc)
        self._stop(self._head_timer)
        self._stop(self._write_timer)

    def pause_writing(self) -> None:
        """The client does not take what is sent: wait a while."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has taken something."""
        super().resume_writing()
        self._stop(self._write_timer)

    def timeout_keep_alive_handler(self) -> None:
        """Close, for good if what was sent is not taken."""
        super().timeout_keep_alive_handler()
        self._write_timer = self.loop.call_later(self.seconds, self.transport.abort)

    def shutdown(self) -> None:
        """Close after the answer that is due, or that becomes due in the next seconds.

        A request that is under way on a kept connection while the server stops is so answered.
        """
        self._draining = True
        if self._is_idle():
            self.loop.call_later(_DRAIN_SECONDS, self._close_if_idle)
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP with a problem, as everything else."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._answer(ProblemError(400, "this is not HTTP, or its head is too large"))
        else:
            self.transport.abort()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        if self._received:
            self._answer(ProblemError(408, f"no request came within {self.seconds:g} seconds"))
        else:
            self.transport.close()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _close_if_idle(self) -> None:
        if self._is_idle() and not self.transport.is_closing():
            super().shutdown()

    def _answer(self, problem: ProblemError) -> None:
        """Answer outside of HTTP's order, and close a moment later.

        Were it closed at once, on what the client still sends, the answer could be lost.
        """
        self._refused = True
        lines = [f"{name}: {value}\r\n" for name, value in problem.last_headers.items()]
        head = f"HTTP/1.1 {problem.status} {problem.details.title}\r\n{''.join(lines)}\r\n"
        self.transport.write(head.encode() + problem.body())
        self.transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()


def timed_protocol(seconds: float, max_connections: int) -> type[TimedProtocol]:
    """The protocol with its limits: seconds for each step of the client, and connections."""
    limits = {"seconds": seconds, "max_connections": max_connections}
    return type("TimedProtocol", (TimedProtocol,), limits)
