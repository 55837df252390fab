"""Live counts follow from the store alone: whoever reads it, in whatever order events came, after whatever restart."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import in_process
import numpy as np
import pytest
import servers
import small_logs
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.cli.options import refuse_unless_live
from segue.errors import ConfigError
from segue.lean.live.model import LiveHGGNN
from segue.server.answers import Recommendation
from segue.server.bodies import Recommend
from segue.server.counting import LiveCounts, window_start
from segue.server.engine import Engine
from segue.server.live import Sessions
from segue.server.problems import Refusal
from segue.server.service import Service
from segue.server.settings import ServerSettings
from segue.server.store.event import Event, Store, StoreUnavailable
from segue.server.store.in_memory import MemoryStore
from segue.server.store.opening import open_store
from segue.settings.units import DAY, HOUR

GAP = 8 * HOUR
Opening = Callable[[], Store]


@pytest.fixture(params=["sqlite", "redis", "memory"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opening]:
    """Opens the same state as often as it is called."""
    memory = MemoryStore()
    address = request.getfixturevalue("redis").url if request.param == "redis" else "sqlite"
    opened: list[Store] = []

    def again() -> Store:
        if request.param == "memory":
            return memory
        opened.append(open_store(address, tmp_path / "state", ServerSettings()))
        return opened[-1]

    yield again
    for store in opened:
        store.close()


def engine() -> Engine:
    return Engine(small_logs.fitted_model(), live=True)


def now() -> int:
    return engine().recommender.trained_until + 30 * DAY


def counts_of(store: Store, most: int = 100_000, of: Engine | None = None) -> tuple[LiveCounts, Engine]:
    of = of or engine()
    assert of.live is not None
    counts = LiveCounts(of.live, store, Sessions(GAP, drop_repeats=True), most, of.recommender.trained_until)
    counts.catch_up()
    return counts, of


def seen(of: Engine, time: int | None = None) -> dict[str, Any]:
    """All that the counts of an engine say, by id."""
    assert of.live is not None
    view, ids = of.live.live.view(np.zeros(0, dtype=np.int64)), of.live.known_items.ids
    found: dict[str, Any] = {"support": {ids[i]: int(n) for i, n in enumerate(view.support[: len(ids)]) if n}}
    for name in ("transition", "predecessor", "order", "basket"):
        for item, each in enumerate(ids):
            items, values = view.whole(name, item)
            found[f"{name} {each}"] = {ids[i]: int(n) for i, n in zip(items, values, strict=True)}
    for name, periods in view.periods.items():
        items, values = periods.at(now() + DAY if time is None else time)
        found[name] = {ids[i]: round(float(value), 9) for i, value in zip(items, values, strict=True)}
    return {name: value for name, value in found.items() if value}


def click(session: str, item: str, minute: float, user: str | None = None) -> Event:
    return Event(session, item, now() + round(60_000 * minute), user)


CLICKS = [
    click("s", "first1", 0, "anna"), click("s", "b7", 1, "anna"), click("t", "first1", 2), click("t", "b7", 3),
    click("s", "new", 4, "anna"), click("u", "new", 5, "berta"), click("u", "first3", 6, "berta"),
    click("lonely", "unheard", 7), click("s", "a2", 700, "anna"), click("u", "first3", 8, "berta"),
    click("far", "new3", 2), click("far", "new4", 3), click("near", "new2", 4), click("near", "new3", 5),
    click("v", "b7", 6), click("v", "new2", 7),
]  # fmt: skip
"""`far` and `near` hold new items alone."""


def test_all_readers_of_a_store_count_the_same_and_so_does_one_that_starts_later(opening: Opening) -> None:
    store = opening()
    early, of_early = counts_of(store)
    between, of_between = counts_of(opening())
    for number, event in enumerate(CLICKS):
        store.append([[event]])
        early.catch_up()
        if number % 3 == 0:
            between.catch_up()
    between.catch_up()
    _, of_late = counts_of(opening())
    assert seen(of_early) == seen(of_between) == seen(of_late)
    wanted = seen(engine())
    assert seen(of_late) != wanted
    assert seen(of_late)["transition first1"].get("b7") == wanted["transition first1"].get("b7", 0) + 2
    assert seen(of_late)["transition b7"]["new"] == 1
    assert seen(of_late)["transition new"] == {"first3": 1}
    assert seen(of_late)["transition new3"] == {"new4": 1}  # both are new
    assert seen(of_late)["support"]["unheard"] == 1  # nothing known is beside it


def test_a_forgotten_user_leaves_no_count_and_new_items_go_with_them(opening: Opening) -> None:
    store = opening()
    store.append([[event] for event in CLICKS if event.user != "anna"])
    _, without = counts_of(store)
    store.append([[event] for event in CLICKS if event.user == "anna"])
    counts, of = counts_of(store)
    assert seen(of) != seen(without)
    assert store.forget("anna") == 4
    counts.catch_up()
    assert seen(of) == seen(without)
    assert store.forget("berta") == 3
    counts.catch_up()
    assert of.live is not None
    assert "new" not in of.live.known_items


def test_old_events_leave_the_counts_when_they_leave_the_store(opening: Opening) -> None:
    store = opening()
    store.append([CLICKS])
    counts, of = counts_of(store)
    store.prune(now() + 60_000 * 4)
    counts.catch_up()
    other = MemoryStore()
    other.append([[event for event in CLICKS if event.time >= now() + 60_000 * 4]])
    _, wanted = counts_of(other)
    assert seen(of) == seen(wanted)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(len(CLICKS))), st.integers(0, len(CLICKS)))
def test_the_order_in_which_events_come_does_not_matter(order: Sequence[int], caught_up: int) -> None:
    store = MemoryStore()
    counts, of = counts_of(store)
    for number, place in enumerate(order):
        store.append([[CLICKS[place]]])
        if number == caught_up:
            counts.catch_up()
    counts.catch_up()
    in_order = MemoryStore()
    in_order.append([CLICKS])
    _, wanted = counts_of(in_order)
    assert seen(of) == seen(wanted)


def test_what_happened_before_the_end_of_training_is_not_counted_twice() -> None:
    store = MemoryStore()
    end = engine().recommender.trained_until
    store.append([[Event("s", "first1", end - 60_000), Event("s", "b7", end)]])
    _, of = counts_of(store)
    assert seen(of) == seen(engine())


def test_the_newest_events_alone_are_counted_where_there_are_too_many() -> None:
    clicks = [click(f"s{n // 3}", f"{'ab'[n % 2]}{n % 8}", n / 10) for n in range(330)]
    store = MemoryStore()
    counts, of = counts_of(store, most=100)
    for event in clicks:
        store.append([[event]])
        counts.catch_up()
        first = window_start(store.position().newest, 100)
        assert store.position().newest - first <= 100
    assert (window_start(100, 100), window_start(101, 100), window_start(330, 100)) == (0, 25, 250)
    newest = MemoryStore()
    newest.append([clicks[250:]])
    _, wanted = counts_of(newest)
    assert seen(of) == seen(wanted)
    _, restarted = counts_of(store, most=100)
    assert seen(of) == seen(restarted)


def service(store: Store, time: int) -> Service:
    return Service(engine(), store, ServerSettings(), lambda: time)


def answer(of: Service, **asked: Any) -> Recommendation:
    (found,) = of.recommend_all(of.engine, [Recommend(**asked)])
    assert isinstance(found, Recommendation), found
    return found


def scores(of: Service, **asked: Any) -> dict[str, float]:
    found = answer(of, k=100, **asked)
    return {each.item: each.score for each in found.items}


def test_an_answer_does_not_rest_on_its_own_session_but_on_all_others() -> None:
    """A running session is answered as if it had been taken out of the counts; anybody else's answer rests on it."""
    store = MemoryStore()
    store.append([[click("s", "first1", 0), click("s", "b7", 1), click("s", "first1", 2), click("other", "b2", 1)]])
    answering = service(store, now() + 60_000 * 10)
    engine, asked = answering.engine, Recommend(session="s")
    assert engine.live is not None
    known = answering.known(engine, asked)
    assert known.running.own == ["first1", "b7", "first1"]
    found, _ = engine.scores(asked, known)
    as_another = replace(known, running=replace(known.running, own=(), own_times=()))
    others, _ = engine.scores(asked, as_another)
    numbers = [engine.live.number(item) for item in known.running.own]
    engine.live.take_out([number for number in numbers if number is not None])
    for number, at in zip(numbers, known.running.own_times, strict=True):
        assert number is not None
        engine.live.happened(number, at, -1)
    without, _ = engine.scores(asked, as_another)
    np.testing.assert_allclose(found, without, rtol=1e-6)
    assert np.abs(found - others).max() > 0.01


def test_a_new_item_is_recommended_from_its_first_transition_on_and_explained() -> None:
    time = now() + 60_000 * 10
    store = MemoryStore()
    answering = service(store, time)
    assert "fresh" not in scores(answering, items=["first1"])
    store.append([[click("s", "fresh", 0)]])
    assert "fresh" in scores(answering, items=["first1"])  # by its popularity alone
    store.append([[click("s", "first1", -1), click("t", "first1", 2), click("t", "fresh", 3)]])
    found = answer(answering, items=["first1"], k=100, explain=True)
    places = [each.item for each in found.items]
    assert "fresh" in places
    (entry,) = [each for each in found.items if each.item == "fresh"]
    assert entry.because is not None
    total = sum(part["contribution"] for part in entry.because.session) + entry.because.user + entry.because.base
    assert total == pytest.approx(entry.score, rel=1e-4, abs=1e-4)
    assert scores(answering, items=["fresh"])  # and sessions with it are answered
    assert answer(answering, items=["fresh"]).skipped == []
    assert "fresh" in scores(answering, items=["first1"], candidates=["fresh"])


def test_the_popular_list_is_live_and_a_new_item_can_be_looked_up() -> None:
    store = MemoryStore()
    answering = service(store, now() + 60_000 * 10)
    before = [each.item for each in answer(answering, k=3).items]
    hot = [click(f"s{n}", item, n / 1000) for n in range(400) for item in ("hot news", "a7")]
    store.append([hot])
    assert "a7" not in before
    assert [each.item for each in answer(answering, k=2).items] in (["a7", "hot news"], ["hot news", "a7"])
    found = answering.item("hot news")
    assert (found.name, found.events, found.relations, found.attributes) == ("hot news", 400, [], {})
    assert [each.id for each in answering.find_items("T NEW", 9).results] == ["hot news"]
    with pytest.raises(Refusal):
        answering.item("never seen")
    store.prune(now() + 60_000 * 60)
    assert [each.item for each in answer(answering, k=3).items] == before


def test_explanations_and_lists_at_the_same_time_count_every_event_once() -> None:
    """Threads that took turns within the counting would count events twice, and fail on tables of two sizes."""
    store, interval = MemoryStore(), sys.getswitchinterval()
    answering = service(store, now() + 60_000 * 40)
    app = in_process.app_of(answering, answering.settings)

    async def ask() -> set[int]:
        statuses: set[int] = set()
        async with in_process.client(app) as http:
            for number in range(80):
                store.append([[click(f"s{number // 3}", f"fresh{number % 9}", number / 3 + n / 9) for n in range(2)]])
                store.append([[click(f"s{number // 3}", "first1", number / 3 + 0.3)]])
                explained = {"items": ["first1"], "of": ["b7"]}
                posts = [http.post("/v1/explanations", json=explained), http.post("/v1/recommend", json={})]
                statuses |= {each.status_code for each in await asyncio.gather(*posts)}
        return statuses

    sys.setswitchinterval(1e-6)
    try:
        assert asyncio.run(ask()) == {200}
    finally:
        sys.setswitchinterval(interval)
    _, restarted = counts_of(store)
    assert seen(answering.engine) == seen(restarted)


def test_a_new_user_is_answered_from_what_they_took() -> None:
    time = now() + 60_000 * 60 * 20
    store = MemoryStore()
    store.append([[click("s", "b1", 0, "new"), click("s", "b2", 1, "new")]])
    answering = service(store, time)
    assert scores(answering, user="new", items=["first1"]) != scores(answering, items=["first1"])


def test_what_is_said_of_a_user_whom_live_events_name_fits_user_known() -> None:
    store = MemoryStore()
    store.append([[click("s", "b1", 0, "new")]])
    for hours, wanted in ((0.1, "as an anonymous session so far"), (20, "from their live sessions")):
        found = answer(service(store, now() + round(hours * HOUR)), user="new", items=["first1"])
        assert found.user_known
        assert found.warnings == [f"user 'new' is known from live events alone: answered {wanted}"]
    assert "is unknown to the model" in answer(service(store, now()), user="nobody", items=["first1"]).warnings[0]


def test_unknown_items_of_events_are_counted_and_blank_ones_refused() -> None:
    app = in_process.app()

    async def post(*items: str) -> httpx.Response:
        async with in_process.client(app) as http:
            return await http.post("/v1/events", json=[{"session": "typing", "item": item} for item in items])

    found = asyncio.run(post("first1", "frist1", "frist2")).json()
    assert found == {"accepted": 3, "duplicates": 0, "unknown_items": 2}
    assert asyncio.run(post("first1")).json() == {"accepted": 1, "duplicates": 0}
    refused = asyncio.run(post("first1", " "))
    assert (refused.status_code, refused.json()["detail"].split(";")[0]) == (422, "event 1 has a blank item")


def test_a_model_without_counts_cannot_be_live() -> None:
    with pytest.raises(ConfigError, match=r"has no memory of counts that could be live: leave --live out"):
        Engine(small_logs.counting_model("markov", ""), live=True)


def test_workers_and_a_restart_give_the_same_lists(tmp_path: Path) -> None:
    model, state = small_logs.fitted_model(), tmp_path / "state"
    asked = {"items": ["first1"], "k": 40}

    def lists(client: Any) -> set[str]:
        return {str(client.post("/v1/recommend", json=asked).json()["items"]) for _ in range(12)}

    with (
        servers.serving(model, "--live", "--state", state, "--workers", 2) as server,
        servers.client(server.url) as http,
    ):
        (before,) = lists(http)
        for number, item in itertools.product(range(4), ("first1", "never seen")):
            event = {"session": f"s{number}", "item": item}
            assert http.post("/v1/events", json=event).status_code == 202
        (after,) = lists(http)
        assert "never seen" in after
        assert before != after
        assert http.get("/v1/model").json()["live"]["counts"] is True
    with servers.serving(model, "--live", "--state", state) as server, servers.client(server.url) as http:
        assert lists(http) == {after}


def test_a_store_that_goes_away_while_it_is_read_counts_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segue.server.counting._AT_ONCE", 2)

    class Failing(MemoryStore):
        calls = 0

        def after(self, number: int, limit: int) -> list[tuple[int, Event]]:
            self.calls += 1
            if self.calls == 3:
                raise StoreUnavailable("gone")
            return super().after(number, limit)

    store = Failing()
    counts, of = counts_of(store)
    store.append([CLICKS])
    with pytest.raises(StoreUnavailable):
        counts.catch_up()
    counts.catch_up()
    whole = MemoryStore()
    whole.append([CLICKS])
    _, wanted = counts_of(whole)
    assert seen(of) == seen(wanted)


def test_requests_that_wait_together_are_scored_together_and_get_what_each_gets_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    store.append([[event for event in CLICKS if event.time < now() + 60_000 * 60]])
    answering = service(store, now() + 60_000 * 10)
    asked = [Recommend(session=session) for session in ("s", "t", "u", "v")]
    alone = [answering.recommend_all(answering.engine, [each])[0] for each in asked]
    scored, score = [], LiveHGGNN.score
    monkeypatch.setattr(LiveHGGNN, "score", lambda self, each: scored.append(len(each)) or score(self, each))
    together = answering.recommend_all(answering.engine, asked)
    assert scored == [4]
    for one, other in zip(alone, together, strict=True):
        assert isinstance(one, Recommendation)
        assert isinstance(other, Recommendation)
        assert [each.item for each in one.items] == [each.item for each in other.items]
        assert [each.score for each in one.items] == pytest.approx([each.score for each in other.items], rel=1e-5)


def test_an_event_that_comes_while_requests_are_read_does_not_vouch_for_itself() -> None:
    """The session of the request holds it, the counts do not yet."""

    class Busy(MemoryStore):
        late: Event | None = click("s", "b7", 2)

        def of_session(self, session: str, limit: int) -> list[Event]:
            if self.late is not None:
                self.late, event = None, self.late
                self.append([[event]])
            return super().of_session(session, limit)

    store = Busy()
    store.append([[click("s", "first1", 0)]])
    answering = service(store, now() + 60_000 * 10)
    found = scores(answering, session="s")
    settled = MemoryStore()
    settled.append([[click("s", "first1", 0), click("s", "b7", 2)]])
    assert found == pytest.approx(scores(service(settled, now() + 60_000 * 10), session="s"), rel=1e-5)


def held_bytes() -> int:
    """Bytes that live counts hold: what was allocated in their files."""
    files = ("*/segue/lean/live/*", "*/segue/server/counting.py", "*/segue/serving/live.py", "*/serving/vocabulary.py")
    traces = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, file) for file in files])
    return sum(each.size for each in traces.traces)


def test_live_counts_need_no_more_memory_however_many_events_come() -> None:
    """Every event has a new item, a new session begins with every third; an answer is given for each forty."""
    store, most = MemoryStore(), 100
    answering = Service(engine(), store, ServerSettings(live_events=most), lambda: now() + 60_000 * 900)
    tracemalloc.start()
    try:
        held = []
        for number in range(600):
            item = f"new{number}" if number % 3 else "first1"
            store.append([[click(f"s{number // 3}", item, number / 10)]])
            if number % 40 == 39:
                answer(answering, items=["first1", item])
            if number % 200 == 199:  # the window stands at the same place each time
                held.append(held_bytes())
    finally:
        tracemalloc.stop()
    live = answering.engine.live
    assert live is not None
    assert len(live.known_items) - live.live.trained_items <= most
    assert held[0] > 20_000
    assert max(held[1:]) < 1.2 * held[0]


def test_a_server_answers_with_weights_that_live_events_have_taught(tmp_path: Path) -> None:
    model, asked = small_logs.fitted_model(), {"items": ["first1"], "k": 40}
    taught = engine()
    assert taught.live is not None
    weights = taught.live.live.weights
    weights.values[weights.names.index("count of transition")] = 3.0
    file = tmp_path / "weights.json"
    file.write_text(json.dumps(weights.as_dict()))

    def listed(*options: str | Path) -> str:
        with (
            servers.serving(model, "--live", "--state", tmp_path / "state", *options) as server,
            servers.client(server.url) as http,
        ):
            return str(http.post("/v1/recommend", json=asked).json()["items"])

    assert listed("--live-weights", file) != listed()


def test_weights_without_live_counts_or_of_another_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--live-weights is for live counts; add --live, or leave it out"):
        refuse_unless_live(False, live_weights=tmp_path)
    (tmp_path / "weights.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"weights\.json cannot be used"):
        Engine(small_logs.fitted_model(), live=True, live_weights=tmp_path / "weights.json")
