"""A real browser for tests of pages: Debian's Chromium, driven by Playwright.

Where there is no Chromium these tests are skipped, unless LLAMANER_REQUIRE_BROWSER is set, as
`.ci/run` sets it.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Page, sync_playwright

# Without these, Chromium itself asks its makers for news, which the tests would have to tell apart.
_QUIET = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Visit:
    """A page, the errors that it told on its console or raised, and the addresses it asked for."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)


# One a module, not one a session: while it runs, no other event loop can run in this thread.
@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium as Playwright's ``Browser``."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        if os.environ.get("LLAMANER_REQUIRE_BROWSER"):
            pytest.fail("no Chromium here: apt-get install chromium")
        pytest.skip("no Chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_QUIET)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """A function that makes a ``Visit`` in a new window; arguments are those of ``new_context``.

    Call ``visit(...).page.goto(address)``; the windows close when the test ends.
    """
    contexts = []

    def make(**options) -> Visit:
        contexts.append(chromium.new_context(**options))
        return Visit(contexts[-1].new_page())

    yield make
    for context in contexts:
        context.close()
