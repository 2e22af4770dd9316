"""Consoles for results and messages, and progress, which is silent where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class PlainConsole(Console):
    """Prints texts as they are: ``[b]`` and ``:train:`` in them are neither markup nor pictures."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def on_broken_pipe(self) -> None:
        """Leave it to the command line what becomes of a reader that has gone."""
        raise BrokenPipeError


console = PlainConsole(stderr=True)


class Bar:
    """One progress bar; ``advance`` moves it, ``note`` replaces what stands at its end."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def advance(self, amount: int = 1) -> None:
        """Move on by so many steps."""
        self._progress.advance(self._task, amount)

    def note(self, text: str) -> None:
        """Show ``text`` at the bar's end."""
        self._progress.update(self._task, note=text)


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Bar]:
    """A bar over ``total`` steps that goes away when it is full."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with progress:
        yield Bar(progress, progress.add_task(title, total=total, note=""))


@contextmanager
def status(message: str) -> Iterator[None]:
    """A line that is there while something of unknown length goes on."""
    if not console.is_terminal:
        yield
        return
    with console.status(message):
        yield
