"""A browser for the tests of the page, and the page on two models. Without Chromium they are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import browsing
import pytest
import small_logs
from browsing import DESK, Opened, query


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium. It ends with the tests of a file: what drives it keeps asyncio busy in this thread."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make install-dev")
    from screenshots import chromium  # it needs playwright

    program = chromium()
    if program is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with sync_api.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The page on a small HG-GNN that has names for most items, and attention."""
    with browsing.page_of(small_logs.fitted_model()) as address:
        yield address


@pytest.fixture(scope="module")
def odd_site() -> Iterator[str]:
    with browsing.page_of(browsing.odd_model()) as address:
        yield address


@pytest.fixture
def opened(browser: Any) -> Iterator[Opened]:
    """Opens a page. In the end nothing may have been complained of, and no request may have left the origin."""
    complaints: list[str] = []
    contexts: list[Any] = []

    def open_page(
        site: str, state: dict[str, Any] | None = None, size: dict[str, int] = DESK, scheme: str = "light", **how: Any
    ) -> Any:
        context = browser.new_context(viewport=size, color_scheme=scheme, service_workers="block")
        contexts.append(context)
        context.set_default_timeout(20_000)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if not how.get("troubled"):
            page.on("console", lambda said: complaints.append(said.text) if said.type != "log" else None)
        page.on("request", lambda sent: complaints.append(sent.url) if not sent.url.startswith(site) else None)
        before = how.get("before")
        if before is not None:
            before(page)
        page.goto(f"{site}/#{query(state)}" if state is not None else f"{site}/")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
