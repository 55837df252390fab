"""The page in a real browser: what a person sees, clicks, types, hears and waits for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode, urlsplit

import browsing
import pytest
import served
import small_logs
from served import KNOWN, OTHER

from segue.serving.asking import Request

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make install-dev")
from screenshots import chromium  # noqa: E402 - it needs playwright

if chromium() is None:
    pytest.skip("there is no Chromium here: apt-get install chromium", allow_module_level=True)
expect = sync_api.expect
expect.set_options(timeout=20_000)

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
SHOWN = {"a": KNOWN, "b": OTHER, "i": ["first1"]}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
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


Opened = Callable[..., Any]


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
        page.goto(f"{site}/#{urlencode(state, doseq=True)}" if state is not None else f"{site}/")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def names(page: Any, who: str) -> list[str]:
    """The names in a list, once the lists stand."""
    expect(page.locator("#lists")).not_to_have_attribute("aria-busy", "true")
    expect(page.locator(f".list.{who} .item").first).to_be_visible()
    found: list[str] = page.locator(f".list.{who} .item > span:first-child").all_text_contents()
    return found


def expected(user: str | None, items: list[str]) -> list[str]:
    model = served.model()
    return [model.name(each.item) for each in model.recommend(user, items, k=10, exclude_seen="session")]


def test_it_begins_with_an_example_for_two_people_and_for_nobody(opened: Opened, site: str) -> None:
    page = opened(site)
    expect(page.locator(".list")).to_have_count(3)
    assert page.locator(".person h2").all_text_contents() == [small_logs.user(0), small_logs.user(1)]
    session = page.locator(".chip > span").all_text_contents()
    assert len(session) == 2
    ids = [each.removeprefix("The [").removesuffix("]") for each in session]
    assert [names(page, who) for who in "abn"] == [expected(user, ids) for user in (KNOWN, OTHER, None)]
    expect(page.locator("#model-line")).to_contain_text("32 items · 12 people")


def test_a_person_is_found_by_typing_and_chosen_by_keyboard(opened: Opened, site: str) -> None:
    page = opened(site, SHOWN)
    names(page, "a")
    field = page.get_by_role("combobox", name="First person")
    field.focus()
    field.press_sequentially("USER0")
    expect(page.get_by_role("option")).to_have_count(10)
    field.press("ArrowDown")
    field.press("ArrowDown")
    active = page.locator(f"[id='{field.get_attribute('aria-activedescendant')}']")
    expect(active).to_have_text(small_logs.user(1))
    field.fill("user05")
    expect(page.get_by_role("option")).to_have_count(1)
    field.press("Enter")
    expect(page.locator(".person.a h2")).to_have_text("user05")
    expect(page.locator(".list.a h3")).to_have_text("For user05")
    assert names(page, "a") == expected("user05", ["first1"])
    assert page.locator(".person.a .favourites li").count() == 5
    page.locator(".person.a").get_by_role("button", name=re.compile("Use this session")).first.click()
    history = served.model().artifact.history
    last = history.items[history.offsets[:-1][history.user == 5][-1] :][:4].tolist()
    model = served.model()
    expected_names = [model.name(model.known_items.ids[number]) for number in last]
    expect(page.locator(".chip > span")).to_have_text(expected_names)


def test_a_click_joins_the_session_changes_the_lists_and_can_be_undone(opened: Opened, site: str) -> None:
    page = opened(site, SHOWN)
    first = names(page, "a")
    clicked = page.locator(".list.a .item").first
    assert first[0] == "The [second1]"
    clicked.click()
    expect(page.locator(".chip")).to_have_count(2)
    expect(page.locator("#said")).to_contain_text("Lists changed.")
    expect(page.locator("#said")).to_contain_text(f"{KNOWN}: first ")
    assert [names(page, who) for who in "abn"] == [
        expected(user, ["first1", "second1"]) for user in (KNOWN, OTHER, None)
    ]
    assert page.locator(".move").count() > 0
    page.go_back()
    expect(page.locator(".chip")).to_have_count(1)
    page.get_by_role("combobox", name="Add an item").fill("[b3]")
    page.get_by_role("option", name="The [b3]").click()
    expect(page.locator(".chip > span")).to_have_text(["The [first1]", "The [b3]"])
    page.get_by_role("button", name="Take out The [first1]").press("Enter")
    expect(page.locator(".chip > span")).to_have_text(["The [b3]"])
    expect(page.get_by_role("button", name="Take out The [b3]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("combobox", name="Add an item")).to_be_focused()
    page.go_back()
    page.get_by_label("Items of the session may be recommended again").check()
    expect(page.locator("#lists")).not_to_have_attribute("aria-busy", "true")
    assert "seen=1" in page.url


def test_marks_say_what_lists_share_not_by_colour_alone(opened: Opened, site: str) -> None:
    page = opened(site, SHOWN)
    lists = {who: names(page, who) for who in "abn"}
    for who, shown in lists.items():
        for place, name in enumerate(shown):
            holding = sum(name in other for other in lists.values())
            mark = {3: "shared", 2: "some", 1: "personal"}[holding]
            words = {3: "in all lists", 2: "in two lists", 1: "in this list alone"}[holding]
            row = page.locator(f".list.{who} li").nth(place)
            assert row.locator(".mark").get_attribute("class") == f"mark {mark}"
            assert words in row.locator(".item").inner_text()


def test_the_reasons_sum_to_the_score_and_the_attention_is_the_models(opened: Opened, site: str) -> None:
    page = opened(site, {**SHOWN, "i": ["first1", "second1"]})
    names(page, "b")
    why = page.get_by_role("button", name=f"Why The [b1] for {OTHER}?")
    why.press("Enter")
    expect(page.locator("#why")).to_be_focused()
    why.click()
    expect(page.locator("#why")).to_be_in_viewport()
    expect(page.locator("#why-title")).to_have_text(f"Why The [b1] for {OTHER}?")
    score = next(e.score for e in served.model().recommend(OTHER, ["first1", "second1"]) if e.item == "b1")
    tables = page.locator("#why .bars")
    assert tables.count() == 2
    for table in tables.all():
        parts = [float(cell.get_attribute("data-part")) for cell in table.locator("[data-part]").all()]
        total = float(table.locator("[data-total]").get_attribute("data-total"))
        assert sum(parts) == pytest.approx(total, abs=1e-3)
        assert total == pytest.approx(score, abs=1e-3)
    found = served.model().attention(Request(OTHER, ["first1", "second1"]))
    assert found is not None
    assert found.gate is not None
    share = sum(found.gate) / len(found.gate)
    expect(page.locator(".split")).to_have_attribute(
        "aria-label", f"current {100 * share:.0f} %, general {100 * (1 - share):.0f} %"
    )
    assert page.locator(".attention tbody th").all_text_contents() == ["The [first1]", "The [second1]"]
    expect(page.locator(".list.b .why[aria-pressed=true]")).to_have_count(1)


def test_the_graph_is_walked_by_keyboard(opened: Opened, site: str) -> None:
    page = opened(site, {**SHOWN, "why": "a:second1"})
    expect(page.locator("#graph-title")).to_have_text("The graph around The [second1]")
    heads = page.locator(".picture .headline").all_text_contents()
    assert heads == ["Comes right before", "Comes right after", "Shares sessions", "People who come back"]
    before = page.get_by_role("button", name=re.compile(r"^The \[first1\], comes right before, \d+ times"))
    before.focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.classList.contains('node')")
    before.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#graph-title")).to_have_text("The graph around The [first1]")
    expect(page.locator("#said")).to_contain_text("Now at The [first1]")
    assert page.evaluate("document.activeElement.classList.contains('centre')")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.classList.contains('node')")
    person = page.locator(".node.user").first
    name = person.locator("title").text_content().split(":")[0]
    person.press(" ")
    expect(page.locator("#graph-title")).to_have_text(f"The graph around {name}")
    assert page.locator(".crumbs li").all_text_contents() == ["The [second1]", "The [first1]", name]
    page.get_by_role("button", name="Choose as second person").click()
    expect(page.locator(".person.b h2")).to_have_text(name)
    page.locator(".crumbs button").first.click()
    expect(page.locator("#graph-title")).to_have_text("The graph around The [second1]")


def test_the_models_card_has_what_the_report_has(opened: Opened, site: str) -> None:
    page = opened(site, SHOWN)
    page.get_by_role("tab", name="Try it").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="The model")).to_be_focused()
    card = page.locator("#view-model")
    expect(card.get_by_role("heading", name="Graph")).to_be_visible()
    titles = card.locator("h2").all_text_contents()
    assert titles == ["hg_gnn/segue", "Metrics, %", "Learning curves", "Data", "Graph", "Settings"]
    measured = json.loads((small_logs.fitted_model() / "evaluation" / "test.json").read_text())
    rows = card.locator(".figures").first.locator("tbody tr")
    expect(rows.first).to_have_text("HR" + "".join(f"{100 * measured['metrics'][f'HR@{k}']:.2f}" for k in (5, 10, 20)))
    epochs = (small_logs.fitted_model() / "metrics.jsonl").read_text().splitlines()
    assert card.locator(".line-chart").first.locator("circle").count() == len(epochs)
    assert card.locator(".slices caption").first.text_content() == "Items in the session so far"
    expect(card).to_contain_text("adjacent in")
    card.locator("summary").click()
    expect(card.get_by_role("row", name="model.name hg_gnn")).to_be_visible()


def test_names_and_ids_are_text_whatever_they_hold(opened: Opened, odd_site: str) -> None:
    items, users = list(browsing.ODD_ITEMS), browsing.ODD_USERS
    page = opened(odd_site, {"a": users[0], "b": users[1], "i": items[:2]}, PHONE)
    for who in "abn":
        names(page, who)
    assert page.locator(".person h2").all_text_contents() == [users[0], users[1]]
    expect(page.locator(".chip > span").first).to_have_text(browsing.ODD_ITEMS[items[0]])
    expect(page.locator(".chip > span").nth(1)).to_have_text(items[1])
    for item in items:
        page.evaluate(
            "hash => { location.hash = hash; }",
            urlencode({"a": users[0], "b": users[2], "i": items, "why": f"a:{item}"}, doseq=True),
        )
        name = browsing.ODD_ITEMS[item] or item
        expect(page.locator("#graph-title")).to_have_text(f"The graph around {name}")
        expect(page.locator("#why-title")).to_have_text(f"Why {name} for {users[0]}?")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    field = page.get_by_role("combobox", name="Add an item")
    field.fill("<img")
    expect(page.get_by_role("option")).to_have_count(1)
    assert page.title() == "Segue"
    assert page.locator("main img, main script").count() == 0


def test_a_counting_model_says_that_it_has_no_attention_and_no_graph(opened: Opened, odd_site: str) -> None:
    page = opened(odd_site)
    expect(page.locator("#why")).to_contain_text("This model has no attention and no gate")
    parts = [float(cell.get_attribute("data-part")) for cell in page.locator("[data-part]").all()]
    assert parts
    page.get_by_role("tab", name="The model").click()
    card = page.locator("#view-model")
    for words in ("This model builds no graph", "no epochs were played", "Nobody has measured this model yet"):
        expect(card).to_contain_text(words)


def test_empty_states(opened: Opened, site: str) -> None:
    page = opened(site, {"go": 1})
    expect(page.locator(".list")).to_have_count(1)
    assert page.locator(".person .empty").all_text_contents() == ["Nobody is chosen. Search above."] * 2
    expect(page.locator(".chips")).to_contain_text("The session is empty.")
    expect(page.locator(".list.n")).to_contain_text("these are the most popular items")
    field = page.get_by_role("combobox", name="Add an item")
    field.fill("no such thing")
    expect(page.locator(".found .note").last).to_have_text("No item has “no such thing” in its name or id.")
    field.press("Enter")
    expect(page.locator(".chip")).to_have_count(0)
    page.evaluate("location.hash = 'a=stranger&i=first1&i=nowhere'")
    expect(page.locator(".person.a")).to_contain_text("The model does not know this person.")
    expect(page.locator(".chip.unknown")).to_contain_text("unknown to the model")
    expect(page.locator(".list.a")).to_contain_text("'stranger' is unknown to the model")


def test_a_model_without_people(opened: Opened, site: str) -> None:
    def nobody(page: Any) -> None:
        page.route("**/v1/users?*", lambda route: route.fulfill(json={"results": []}))
        page.route(
            "**/v1/model",
            lambda route: route.fulfill(json={"name": "m", "model_version": "v", "sizes": {"items": 3, "users": 0}}),
        )

    page = opened(site, before=nobody)
    expect(page.locator("#people > .note")).to_contain_text("trained without people")
    expect(page.locator(".list")).to_have_count(1)
    page.get_by_role("combobox", name="First person").click()
    expect(page.locator(".person.a .found .note")).to_have_text("There is no person yet.")


def test_trouble_is_said_and_can_be_tried_again(opened: Opened, site: str) -> None:
    problem = {"detail": "256 requests are waiting already; try again", "status": 503}

    def broken(page: Any) -> None:
        page.route("**/v1/recommend:batch", lambda route: route.abort())
        page.route("**/v1/users/user00", lambda route: route.fulfill(status=503, json=problem))

    page = opened(site, SHOWN, before=broken, troubled=True)
    lists = page.locator("#lists").get_by_role("alert")
    expect(lists).to_contain_text("The server does not answer.")
    expect(page.locator(".person.a").get_by_role("alert")).to_contain_text(problem["detail"])
    page.unroute("**/v1/recommend:batch")
    page.unroute("**/v1/users/user00")
    lists.get_by_role("button", name="Try again").click()
    assert names(page, "a") == expected(KNOWN, ["first1"])
    page.locator(".person.a").get_by_role("button", name="Try again").click()
    expect(page.locator(".person.a h2")).to_have_text(KNOWN)
    page.route("**/v1/explanations", lambda route: route.abort())
    page.locator(".list.b .why").nth(2).click()
    expect(page.locator("#why").get_by_role("alert")).to_be_visible()
    page.unroute("**/v1/explanations")
    page.locator("#why").get_by_role("button", name="Try again").click()
    expect(page.locator("#why .bars")).to_have_count(2)
    page.route("**/v1/model/card", lambda route: route.abort())
    page.get_by_role("tab", name="The model").click()
    expect(page.locator("#view-model").get_by_role("alert")).to_be_visible()


def test_what_loads_is_said_and_an_answer_that_comes_too_late_is_dropped(opened: Opened, site: str) -> None:
    held: list[Any] = []

    def slow(page: Any) -> None:
        page.route("**/v1/recommend:batch", lambda route: route.continue_() if held else held.append(route))

    page = opened(site, SHOWN, before=slow)
    expect(page.locator("#lists")).to_have_attribute("aria-busy", "true")
    expect(page.locator("#lists").get_by_label("Loading")).to_have_count(3)
    page.evaluate("location.hash = 'a=user01&i=first2'")
    expect(page.locator(".list")).to_have_count(2)
    expect(page.locator(".list.a h3")).to_have_text("For user01")
    assert "ABORTED" in held[0].request.failure


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
