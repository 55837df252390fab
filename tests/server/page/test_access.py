"""The page for everybody: contrast, names, focus, width; and the policy that it comes with."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest
from browsing import DESK, PHONE, SHOWN, Opened, names

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make install-dev").expect
expect.set_options(timeout=20_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_labels_and_width(opened: Opened, site: str, scheme: str) -> None:
    """Every text has a contrast of 4.5 to its ground, every control a name, every id is one; a phone needs no sideways
    scrolling."""
    for size, tab in ((DESK, "try"), (PHONE, "try"), (PHONE, "model")):
        page = opened(site, {**SHOWN, "i": ["first1", "second1"], "tab": tab}, size, scheme)
        if tab == "try":
            expect(page.locator("#why .bars")).to_have_count(2)
            expect(page.locator("#graph .node").first).to_be_visible()
        else:
            expect(page.locator("#view-model")).to_contain_text("Settings")
        assert page.evaluate(_FAINT) == []
        assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
        twice = "ids => ids.filter((id, place) => ids.indexOf(id) !== place)"
        assert page.evaluate(f"({twice})([...document.querySelectorAll('[id]')].map(each => each.id))") == []
        tree = page.locator("body").aria_snapshot()
        nameless = re.findall(
            r"^ *- (?:button|combobox|textbox|checkbox|tab|link|listbox|img|region)(?:\n|:| \[).*", tree, re.M
        )
        assert nameless == []


def test_the_focus_can_be_seen_and_goes_down_the_page(opened: Opened, site: str) -> None:
    page = opened(site, SHOWN)
    names(page, "a")
    expect(page.locator("#graph .node").first).to_be_visible()
    tops, seen = [], set()
    for _ in range(22):
        page.keyboard.press("Tab")
        page.keyboard.press("Escape")
        where = page.evaluate(
            "(at => [at.getBoundingClientRect().top + scrollY, at.textContent + at.id,"
            " getComputedStyle(at).outlineStyle])(document.activeElement)"
        )
        tops.append(where[0])
        seen.add(where[1])
        assert where[2] != "none", where
    assert len(seen) > 10
    rises = sum(later < earlier - 60 for earlier, later in pairwise(tops[1:]))
    assert rises <= 2  # from the bottom of one column to the top of the next
    page.keyboard.press("Shift+Tab")
    page.evaluate("document.querySelector('.skip').focus()")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "lists"
    assert "a=user00" in urlsplit(page.url).fragment


def test_the_page_comes_with_a_strict_policy(browser: Any, site: str) -> None:
    """No script but its own files runs: not even one that somebody managed to write into the page."""
    context = browser.new_context()
    page = context.new_page()
    answer = page.goto(site)
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*src)|style=|\bon\w+=", answer.text())
    page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'document.title = \"hacked\"';"
        " document.body.append(s); }"
    )
    assert page.title() == "Segue"
    context.close()


_FAINT = """() => {
  const colour = text => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return { r, g, b, a }; };
  const light = ({ r, g, b }) => { const [x, y, z] = [r, g, b].map(v => { v /= 255;
    return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * x + .7152 * y + .0722 * z; };
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const box = at instanceof SVGGElement && at.querySelector(':scope > rect');
      const found = colour(box ? getComputedStyle(box).fill : getComputedStyle(at).backgroundColor);
      if (found.a === 1) return found;
    }
    return colour(getComputedStyle(document.body).backgroundColor);
  };
  const faint = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim();
    if (!text || !element.checkVisibility() || element.closest('.hidden, noscript, title')) continue;
    const style = getComputedStyle(element), size = parseFloat(style.fontSize);
    const front = colour(element instanceof SVGElement ? style.fill : style.color);
    const [high, low] = [light(front), light(ground(element))].sort((a, b) => b - a);
    const needed = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    const contrast = (high + .05) / (low + .05);
    if (contrast < needed) faint.push(`${text.slice(0, 40)}: ${contrast.toFixed(2)}`);
  }
  return faint;
}"""
