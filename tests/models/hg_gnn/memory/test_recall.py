"""What the memory finds, by hand: decay, facts, and the form of what is stored."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import worlds
from worlds import DAY, corpus_of

from segue.contract.memory_sources import BASKET_ENTRIES, SOURCES
from segue.data.batches import Batch
from segue.data.corpus import Corpus
from segue.data.loader import Loader
from segue.graph.half_lives import HalfLives
from segue.models.hg_gnn import HGGNN
from segue.models.hg_gnn.memory.entries import Entries, Recalled, lookup
from segue.models.hg_gnn.memory.facts import facts_of
from segue.models.hg_gnn.memory.tables import PopularityByPeriod
from segue.settings.units import HOUR

log1p = math.log1p


def memory_of(corpus: Corpus, **options: object) -> HGGNN:
    model = worlds.fitted({"model": {"name": "hg_gnn", "preset": "memory", **options}}, corpus)
    assert isinstance(model, HGGNN)
    return model


def first_row(corpus: Corpus, session: int) -> Batch:
    loader = Loader(corpus, corpus.sessions, 20)
    return next(b for b in loader.batches(1) if int(b.session[0]) == session)


def recent_history(model: HGGNN, batch: Batch) -> dict[tuple[int, int], float]:
    found, _ = model.recall(batch, batch.prefixes(), frozenset({"recent_history"}))
    history = found["recent_history"]
    places = zip(history.event.tolist(), history.item.tolist(), strict=True)
    return dict(zip(places, history.value.tolist(), strict=True))


def test_history_decays_by_half_each_half_life_and_goes_on_ageing_within_the_session() -> None:
    corpus = corpus_of([[[0, 1], [0, 2], [3, 4, 0]]], starts=[[0, DAY, 3 * DAY]], step=DAY // 2)
    decayed = recent_history(memory_of(corpus, history_half_life="1d"), first_row(corpus, 2))
    assert decayed[0, 0] == pytest.approx(2**-3 + 2**-2)
    assert decayed[0, 2] == pytest.approx(2**-1.5)
    assert decayed[1, 2] == pytest.approx(2**-2)


def test_a_request_from_before_the_history_finds_it_undecayed() -> None:
    corpus = corpus_of([[[0, 1], [0, 2], [3, 4]]])
    batch = replace(first_row(corpus, 2), time=torch.zeros(1, dtype=torch.int64))
    assert recent_history(memory_of(corpus), batch) == {(0, 0): 2.0, (0, 1): 1.0, (0, 2): 1.0}


def test_facts_by_hand() -> None:
    corpus = corpus_of([[[0, 1, 2], [0, 1, 3], [1, 0, 1, 2]], [[5, 4]]], starts=[[0, DAY, 3 * DAY], [0]])
    model = memory_of(corpus)
    batch = first_row(corpus, 2)
    asked = model.recall._asked(batch, batch.prefixes())
    facts = facts_of(asked, torch.tensor([1, 1, 2]), model.recall.support)
    # Prefix (1, 0): both items are in two sessions without this one; 6 events of 4 items, the last 2 s into day 1.
    away = (2 * DAY + 1_000 - 2_000) / HOUR
    expected = [log1p(2), log1p(2), log1p(2), log1p(2), log1p(away), 1, 4 / 6, 1]
    assert facts[1].tolist() == pytest.approx(expected)
    stranger = first_row(corpus, 3)
    asked = model.recall._asked(stranger, stranger.prefixes())
    nothing = torch.zeros(0, dtype=torch.int64)
    assert facts_of(asked, nothing, model.recall.support).tolist() == [[log1p(1), 0, 0, 0, 0, 0, 0, 0]]


def test_facts_are_standardised_over_train() -> None:
    corpus = worlds.busy()
    model = memory_of(corpus)
    (batch,) = Loader(corpus, corpus.train, model.config.window.length).batches(10**6)
    _, facts = model.recall(batch, batch.prefixes(), frozenset())
    raw = facts_of(
        model.recall._asked(batch, batch.prefixes()),
        model.recall(batch, batch.prefixes(), frozenset({"transition"}))[0]["transition"].event,
        model.recall.support,
    )
    spread = raw.std(0, correction=0)
    varied = spread > 1e-6
    assert 5 <= int(varied.sum()) < 9
    wanted = ((raw - raw.mean(0)) / spread)[:, varied]
    torch.testing.assert_close(facts[:, varied], wanted, atol=1e-9, rtol=0)


def test_a_request_from_years_after_train_has_facts_of_an_ordinary_size() -> None:
    corpus = worlds.busy()
    model = memory_of(corpus)
    batch = worlds.request_of(model, [1, 2], 1, [3, 4])
    later = replace(batch, time=batch.time + 50 * 365 * DAY)
    _, facts = model.recall(later, later.prefixes(), frozenset())
    assert facts.max() == 3.0
    model.recall.centre += 100 * model.recall.spread
    _, facts = model.recall(batch, batch.prefixes(), frozenset())
    assert facts.min() == -3.0


def test_half_lives_come_from_the_gaps_of_train_alone() -> None:
    parts = [[worlds.TRAIN] * 3 + [worlds.TEST]] * 2
    corpus = corpus_of([[[0, 1], [2, 3], [4, 0], [0, 0]]] * 2, parts, starts=[[0, DAY, 2 * DAY, 90 * DAY]] * 2)
    found = HalfLives.of(corpus.train, None, None)
    # Between the events of an item: no time between the two users; items 0 alone comes again, after two days.
    assert (found.history, found.recent, found.trend) == (5 * DAY, HOUR, 20 * HOUR)
    assert HalfLives.of(corpus.train, "3d", "2d") == HalfLives(3 * DAY, 2 * DAY, 40 * DAY)


def test_a_log_without_gaps_has_half_lives_all_the_same() -> None:
    corpus = corpus_of([[[0, 1]]])
    assert HalfLives.of(corpus.train, None, None) == HalfLives(5.0, HOUR, 20 * HOUR)


def test_as_many_companions_as_a_prefix_may_ask_for_are_found_in_the_order_of_their_closeness() -> None:
    random = np.random.default_rng(0)
    sessions = [random.permutation(200)[:40].tolist() for _ in range(60)]
    corpus = corpus_of([sessions], n_items=200)
    model = memory_of(corpus, memory_items=150, window={"length": 40})
    batch = worlds.request_of(model, sessions[0], 0)
    found, _ = model.recall(batch, batch.prefixes(), frozenset({"basket", "companion"}))
    per_item = BASKET_ENTRIES // 40
    cells = torch.bincount(found["basket"].entries.cell, minlength=40)
    assert int(cells.max()) <= per_item < int(cells.sum())
    assert len(found["companion"].event) <= 150
    first = found["basket"].entries.cell == 0
    values = found["basket"].entries.value[first]
    rest = found["companion"].value.sort(descending=True).values[len(values) :]
    assert values.min() >= rest.max()


@pytest.mark.parametrize("dense", [True, False])
def test_sums_are_the_same_by_grid_and_by_sorting(dense: bool) -> None:
    n_items = 3 if dense else 10**6
    entries = Entries.present(torch.tensor([0, 0, 1, 1]), torch.tensor([2, 2, 0, 1]), torch.tensor([0.5, 1, 2, 3]))
    found = Recalled.of(entries, 2, n_items, sums=True)
    assert (found.event.tolist(), found.item.tolist(), found.value.tolist()) == ([0, 1, 1], [2, 0, 1], [1.5, 2, 3])
    assert found.place.tolist() == [0, 0, 1, 2]


def test_lookup_of_absent_keys_is_zero() -> None:
    keys, values = torch.tensor([2, 5, 9]), torch.tensor([1, 2, 3])
    assert lookup(keys, values, torch.tensor([0, 2, 6, 9, 10])).tolist() == [0, 1, 0, 3, 0]
    assert lookup(keys[:0], values[:0], torch.tensor([4])).tolist() == [0]


def test_an_age_of_years_needs_no_more_periods_than_five_thousand() -> None:
    times = np.array([0, 30 * 365 * DAY, 30 * 365 * DAY + 1])
    table = PopularityByPeriod.count(np.array([0, 1, 1]), times, 2, float(HOUR), 10)
    assert len(table.offsets) <= 5_003
    item, value, _ = table.at(torch.tensor([31 * 365 * DAY]))
    assert (item.tolist(), value.tolist()) == ([1], [2.0])


def test_nothing_is_recalled_for_an_empty_session_of_a_stranger_but_what_is_popular() -> None:
    corpus = worlds.busy()
    model = memory_of(corpus)
    batch = worlds.request_of(model, [], corpus.n_users)
    found, _ = model.recall(batch, batch.prefixes(), frozenset(SOURCES))
    assert {source for source in SOURCES if len(found[source].event)} <= {"recent", "trend"}


def test_sources_without_anything_to_say_in_train_are_off_and_named(caplog: pytest.LogCaptureFixture) -> None:
    """Users of one session each, all within an hour: nobody has a history, and no period has closed."""
    corpus = corpus_of([[[0, 1, 2]], [[0, 1, 2]], [[1, 2, 0]]], starts=[[0], [1_000], [2_000]])
    with caplog.at_level("INFO", "segue"):
        model = memory_of(corpus)
    off = "history, recent_history, last_session, own_sessions, recent, trend"
    assert f"memory: off, since train gives them nothing to say: {off}" in caplog.messages
    batch = worlds.request_of(model, [0], 0, [2, 2])
    found, _ = model.recall(batch, batch.prefixes(), frozenset(SOURCES))
    assert {name for name in SOURCES if len(found[name].event)} == set(SOURCES) - {*off.split(", "), "order_before"}


def test_a_log_that_has_everything_switches_nothing_off(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "segue"):
        model = memory_of(worlds.busy(), trend_half_life="1d")
    assert model.recall.speaks.all()
    assert not any(message.startswith("memory: off") for message in caplog.messages)


def rings(n_items: int, span: int) -> Corpus:
    """Sessions of two items at most `span` apart on a ring, by users of one session each."""
    random = torch.Generator().manual_seed(1)
    first = torch.randint(n_items, (1200,), generator=random).tolist()
    steps = torch.randint(1, span + 1, (1200,), generator=random).tolist()
    return corpus_of([[[a, (a + step) % n_items]] for a, step in zip(first, steps, strict=True)], n_items=n_items)


@pytest.mark.parametrize(("n_items", "span", "says"), [(600, 6, "on"), (60, 1, "off")])
def test_a_dear_source_is_on_where_it_alone_recalls_what_follows(
    n_items: int, span: int, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Where most pairs come once, only a second step knows what follows; where each comes often, the first one does."""
    with caplog.at_level("INFO", "segue"):
        model = worlds.fitted({"model": {"name": "hg_gnn", "preset": "memory"}}, rings(n_items, span))
    (line,) = (each for each in caplog.messages if "two_steps is" in each)
    assert f"two_steps is {says}: it alone recalls" in line
    batch = worlds.request_of(model, [3], 0)
    found, _ = model.recall(batch, batch.prefixes(), frozenset({"two_steps"}))
    assert (len(found["two_steps"].event) > 0) == (says == "on")


def test_a_dear_source_stays_on_where_it_is_told_to(caplog: pytest.LogCaptureFixture) -> None:
    asked = {"model": {"name": "hg_gnn", "preset": "memory", "dear_share": 0}}
    with caplog.at_level("INFO", "segue"):
        model = worlds.fitted(asked, rings(60, 1))
    assert not any("two_steps is" in each for each in caplog.messages)
    batch = worlds.request_of(model, [3], 0)
    assert len(model.recall(batch, batch.prefixes(), frozenset({"two_steps"}))[0]["two_steps"].event)
