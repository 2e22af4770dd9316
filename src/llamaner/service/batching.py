"""Works of many requests, tagged together by one thread.

Requests take turns: each batch takes one work of each waiting request after the other, until its
budget of subwords is full. A request with a thousand texts so delays another by one batch, not by
all of its texts. Within a request the order is kept.
"""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from logging import getLogger
from typing import Protocol

from llamaner.service.work import Finding, Work

Tag = Callable[[Sequence[Work]], list[list[Finding]]]
"""Works → what was found in each of their texts."""

_MEMORY = 0.8  # of the measured speed: how much of the former value stays

log = getLogger("llamaner.service")


class QueueFullError(Exception):
    """Too much is waiting; ``seconds`` is about how long that will take."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the queue is full for about {seconds:.0f} s")
        self.seconds = seconds


class TaggingError(Exception):
    """A text could not be tagged; the log has more."""


class Observer(Protocol):
    """Is told of every batch."""

    def batch(self, works: Sequence[Work], seconds: float) -> None:
        """A batch of works was tagged in so many seconds."""


class Ticket:
    """The works of one request: ``async for`` gives the findings, in order.

    Raises ``TaggingError`` in place of a finding that cannot be had.
    """

    def __init__(self, works: Sequence[Work], claim: int, cancel: Callable[[Ticket], None]) -> None:
        self.waiting = deque(works)
        self.claim = claim
        self._left = len(self.waiting)
        self._cancel = cancel
        self._arrived: asyncio.Queue[list[Finding] | TaggingError] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[list[Finding]]:
        while self._left:
            found = await self._arrived.get()
            self._left -= 1
            if isinstance(found, TaggingError):
                raise found
            yield found

    def arrive(self, found: list[Finding] | TaggingError) -> None:
        """Take up the findings of the next work; called in the event loop."""
        self._arrived.put_nowait(found)

    def close(self) -> None:
        """Give up what is still waiting, and make room in the queue; needed in any case."""
        self._cancel(self)


class Batcher:
    """Owns the thread in which everything is tagged.

    ``prepare`` is called first, in that thread, and gives the function that tags. What it raises
    is kept in ``failure``, and ``on_failure`` is called. The queue holds ``queue_subwords``: each
    request claims what it has, though no more than one batch, until it is answered.
    """

    def __init__(
        self,
        prepare: Callable[[], Tag],
        *,
        batch_subwords: int,
        queue_subwords: int,
        wait_seconds: float,
        observer: Observer,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._prepare = prepare
        self._batch_subwords = batch_subwords
        self._queue_subwords = queue_subwords
        self._wait_seconds = wait_seconds
        self._observer = observer
        self._on_failure = on_failure
        self._changed = threading.Condition()
        self._turns: deque[Ticket] = deque()
        self._claimed = 0
        self._stopped = False
        self._speed = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="tagger", daemon=True)
        self.ready = False
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin to work, for the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Finish the batch that is being tagged, drop what waits, and end the thread."""
        with self._changed:
            self._stopped = True
            self._turns.clear()
            self._changed.notify()
        while self._thread.is_alive():
            await asyncio.sleep(0.01)
        self.ready = False

    @property
    def claimed(self) -> int:
        """About how many subwords the unanswered requests hold of the queue."""
        return self._claimed

    def submit(self, works: Sequence[Work]) -> Ticket:
        """Queue the works of a request. Raises ``QueueFullError``.

        A request is let in whatever its size when nothing else is there.
        """
        cost = sum(work.subwords for work in works)
        claim = min(cost, self._batch_subwords)
        with self._changed:
            if self._claimed and self._claimed + claim > self._queue_subwords:
                raise QueueFullError(self._claimed / self._speed if self._speed else 1)
            ticket = Ticket(works, claim, self._close)
            self._claimed += claim
            if works:
                self._turns.append(ticket)
            self._changed.notify()
        return ticket

    def _close(self, ticket: Ticket) -> None:
        with self._changed:
            ticket.waiting.clear()
            self._claimed -= ticket.claim
            ticket.claim = 0

    def _run(self) -> None:
        try:
            tag = self._prepare()
            self.ready = True
            while batch := self._collect():
                self._tag(tag, batch)
        except BaseException as error:
            self.failure = error
            self.ready = False
            self._on_failure()

    def _collect(self) -> list[tuple[Ticket, Work]]:
        """The next batch, or nothing when the batcher has stopped."""
        with self._changed:
            while not self._stopped:
                if not self._turns:
                    self._changed.wait()
                    continue
                self._await_others()
                # All that waited may have been cancelled meanwhile.
                if batch := self._take_turns():
                    return batch
        return []

    def _await_others(self) -> None:
        until = time.monotonic() + self._wait_seconds
        while not self._stopped and self._waiting() < self._batch_subwords:
            if (left := until - time.monotonic()) <= 0:
                break
            self._changed.wait(left)

    def _waiting(self) -> int:
        return sum(ticket.claim for ticket in self._turns)

    def _take_turns(self) -> list[tuple[Ticket, Work]]:
        batch: list[tuple[Ticket, Work]] = []
        total = 0
        while self._turns:
            ticket = self._turns[0]
            if ticket.waiting:
                total += ticket.waiting[0].subwords
                if batch and total > self._batch_subwords:
                    break
                batch.append((ticket, ticket.waiting.popleft()))
            self._turns.popleft()
            if ticket.waiting:
                self._turns.append(ticket)
        return batch

    def _tag(self, tag: Tag, batch: Sequence[tuple[Ticket, Work]]) -> None:
        works = [work for _, work in batch]
        started = time.monotonic()
        found = _tagged(tag, works)
        seconds = time.monotonic() - started
        speed = sum(work.subwords for work in works) / max(seconds, 1e-6)
        self._speed = _MEMORY * self._speed + (1 - _MEMORY) * speed if self._speed else speed
        self._observer.batch(works, seconds)
        assert self._loop is not None
        self._loop.call_soon_threadsafe(_deliver, [t for t, _ in batch], found)


def _deliver(tickets: Sequence[Ticket], found: Sequence[list[Finding] | TaggingError]) -> None:
    for ticket, findings in zip(tickets, found, strict=True):
        ticket.arrive(findings)


def _tagged(tag: Tag, works: Sequence[Work]) -> Sequence[list[Finding] | TaggingError]:
    """The findings; where a batch fails, each work is tried alone, so that one fails alone."""
    try:
        return tag(works)
    except Exception as error:
        # The message is not logged: it may hold a part of the text.
        place = "".join(traceback.format_tb(error.__traceback__))
        log.error("%s while tagging %d texts\n%s", type(error).__name__, len(works), place)
        if len(works) == 1:
            return [TaggingError()]
    return [found for work in works for found in _tagged(tag, [work])]
