"""The page in a real browser: what a person sees, clicks and types, and what the model gives for it."""

from __future__ import annotations

import json
import re

import pytest
import served
import small_logs
from browsing import SHOWN, Opened, expected, names
from served import KNOWN, OTHER

from segue.serving.asking import Request

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make install-dev").expect
expect.set_options(timeout=20_000)


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
    card.locator("summary").last.click()
    expect(card.get_by_role("row", name="model.name hg_gnn")).to_be_visible()
