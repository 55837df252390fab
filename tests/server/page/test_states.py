"""The page where something is missing, odd, slow or broken."""

from __future__ import annotations

from typing import Any

import browsing
import pytest
from browsing import PHONE, SHOWN, Opened, expected, names, query
from served import KNOWN

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make install-dev").expect
expect.set_options(timeout=20_000)


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
            query({"a": users[0], "b": users[2], "i": items, "why": f"a:{item}"}),
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
