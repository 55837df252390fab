"""The pictures of the page in the README and the guide: ``python benchmarks/screenshots.py demo/model``.

It serves the model on a free port of this machine, opens the page in a headless Chromium and writes PNG files to
docs/assets. Needs Chromium (``apt-get install chromium``); with ``fonts-inter`` the letters are those of the pictures
that are there. ``make demo`` trains the model.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode

from playwright.sync_api import Browser, FloatRect, Page, expect, sync_playwright

import machine

expect.set_options(timeout=30_000)
ASSETS = machine.ROOT / "docs" / "assets"
PEOPLE = ("1740", "2337")
"""Two households of the demo whose lists differ much."""
SESSION = ("FLUID MILK PRODUCTS", "BAKED BREAD/BUNS/ROLLS")
DESK, PHONE = (1200, 900), (360, 760)
_MARGIN = 12
Scheme = Literal["light", "dark"]


def chromium() -> str | None:
    """The Chromium of this machine, or the one that SEGUE_CHROMIUM names; None where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("SEGUE_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@contextmanager
def served(model: Path) -> Iterator[str]:
    """The address of a server of the model, with a state of its own."""
    with tempfile.TemporaryDirectory(prefix="segue-screenshots-") as state:
        command = [sys.executable, "-m", "segue", "serve", str(model), "--port", "0", "--state", state]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if " serves " not in line:
                raise SystemExit(f"{model} cannot be served; say why: segue serve {model}")
            yield line.split()[0]
        finally:
            process.terminate()
            process.wait()


def opened(browser: Browser, address: str, size: tuple[int, int], scheme: Scheme, tab: str = "try") -> Page:
    """The page with two people and a session, once everything on it has come."""
    width, height = size
    sharpness = 1.5 if width < DESK[0] else 1
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=sharpness
    )
    state = {"a": PEOPLE[0], "b": PEOPLE[1], "i": SESSION, "tab": tab}
    page.goto(f"{address}/#{urlencode(state, doseq=True)}")
    if tab == "try":
        settle(page)
    else:
        expect(page.get_by_role("heading", name="Settings")).to_be_visible()
    return page


def settle(page: Page) -> None:
    """Wait until nothing on the page is loading."""
    expect(page.locator(".list")).to_have_count(3)
    expect(page.locator("#graph .node").first).to_be_visible()
    expect(page.locator("[aria-busy=true], .loading")).to_have_count(0)
    page.mouse.move(0, 0)
    page.wait_for_timeout(300)


def shoot(page: Page, name: str, first: str | None = None, last: str | None = None) -> None:
    """Write a picture: of the window, or of the page from one element to another."""
    path = ASSETS / f"{name}.png"
    if first is None or last is None:
        page.screenshot(path=path)
    else:
        page.evaluate("scrollTo(0, 0)")
        top, bottom = page.locator(first).bounding_box(), page.locator(last).bounding_box()
        width = page.viewport_size["width"] if page.viewport_size else 0
        assert top is not None
        assert bottom is not None
        start = max(top["y"] - _MARGIN, 0)
        clip: FloatRect = {
            "x": 0, "y": start, "width": width, "height": bottom["y"] + bottom["height"] + _MARGIN - start
        }  # fmt: skip
        page.screenshot(path=path, full_page=True, clip=clip)
    print(f"{path.relative_to(machine.ROOT)}: {path.stat().st_size:,} bytes")


def all_pictures(browser: Browser, address: str) -> None:
    """The pictures, one by one; a click first, so that they show how lists have changed."""
    for scheme in ("light", "dark"):
        page = opened(browser, address, DESK, scheme)
        page.locator(".list.a .item").nth(2).click()
        settle(page)
        shoot(page, f"page-{scheme}", "header", "#lists")
        if scheme == "light":
            shoot(page, "page-why", "#why", "#why")
        else:
            shoot(page, "page-graph", "#graph", "#graph")
        phone = opened(browser, address, PHONE, scheme)
        phone.evaluate(f"scrollTo(0, document.getElementById('{'lists' if scheme == 'light' else 'why'}').offsetTop)")
        phone.wait_for_timeout(300)
        shoot(phone, f"page-phone-{scheme}")
    shoot(
        opened(browser, address, DESK, "light", "model"), "page-model", "header", "#view-model > section:nth-of-type(3)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model that make demo has trained, such as demo/model")
    model = parser.parse_args().model
    program = chromium()
    if program is None:
        raise SystemExit("there is no Chromium here: apt-get install chromium")
    with served(model) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        all_pictures(browser, address)
        browser.close()


if __name__ == "__main__":
    main()
