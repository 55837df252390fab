"""Counts that go on after training equal those of a model whose tables were counted on train and what came since."""

from __future__ import annotations

from dataclasses import replace

import live_worlds
import numpy as np
import pytest
from live_worlds import ITEMS, World
from worlds import BEGINNING, DAY, TEST, TRAIN

from segue.data.arrays import IntArray
from segue.data.corpus import Corpus
from segue.graph.half_lives import HalfLives
from segue.lean.hg_gnn.tables import Counts
from segue.lean.live.model import LiveHGGNN
from segue.lean.live.view import View
from segue.lean.request import Asked, Past

NOTHING = np.zeros(0, dtype=np.int64)
PAIRS = ("transition", "predecessor", "order")


def rows(counts: Counts | View) -> dict[tuple[str, int], dict[int, float]]:
    """What every item suggests, by table and item."""
    found = {(name, item): counts.pairs[name].row(item) for name in PAIRS for item in range(ITEMS)}
    for item in range(ITEMS):
        for most in (3, 800):
            closest = counts.companions(np.array([item]), most)
            found[f"closest {most}", item] = closest.items, closest.values
            found[f"shared {most}", item] = closest.items, closest.shared
    return {key: dict(zip(row[0].tolist(), row[1].tolist(), strict=True)) for key, row in found.items()}


def assert_same(found: Counts | View, wanted: Counts | View) -> None:
    ours, theirs = rows(found), rows(wanted)
    assert {key: set(row) for key, row in ours.items()} == {key: set(row) for key, row in theirs.items()}
    for key, row in theirs.items():
        assert ours[key] == pytest.approx(row, rel=1e-12)
    assert found.support[np.arange(ITEMS)].tolist() == wanted.support.tolist()
    assert found.degree[np.arange(ITEMS)].tolist() == wanted.degree.tolist()


def counts_of(corpus: Corpus, world: World) -> Counts:
    counts = live_worlds.counted_on(world.model, corpus).counts
    assert counts is not None
    return counts


@pytest.mark.parametrize("seed", range(3))
def test_counts_after_a_log_are_those_of_train_and_the_log_together(seed: int) -> None:
    world = live_worlds.world(seed=seed)
    assert world.recounted.counts is not None
    assert_same(world.live.view(NOTHING), world.recounted.counts)


def test_without_live_sessions_the_counts_are_those_that_were_stored() -> None:
    world = live_worlds.world()
    stored = live_worlds.lean(world.model)
    assert stored.counts is not None
    assert_same(LiveHGGNN(stored, world.corpus.train).view(NOTHING), stored.counts)


def test_the_running_session_does_not_vouch_for_itself() -> None:
    """Its view equals the counts of a log that lacks it, and no other view does."""
    world = live_worlds.world()
    for session in range(0, len(world.later), 7):
        own = world.later.items[slice(*world.later.offsets[session : session + 2])].astype(np.int64)
        number = world.later.number[session]
        part = world.corpus.part.copy()
        part[world.corpus.sessions.number == number] = 1
        others = replace(world.corpus, part=part).with_train([TRAIN, TEST])
        assert_same(world.live.view(own), counts_of(others, world))
    assert rows(world.live.view(own)) != rows(world.live.view(NOTHING))


def test_a_session_that_is_taken_out_leaves_nothing() -> None:
    world = live_worlds.world()
    stored = live_worlds.lean(world.model)
    live = LiveHGGNN(stored, world.corpus.train)
    live.add([1, 2, 1, 3])
    live.add([2, 3], 1)
    live.take_out([1, 2, 1, 3])
    assert (
        live.view(NOTHING).support[:4].tolist()
        == (LiveHGGNN(stored, world.corpus.train).view(NOTHING).support[:4] + np.array([0, 0, 0, 1])).tolist()
    )
    live.forget()
    assert stored.counts is not None
    assert_same(live.view(NOTHING), stored.counts)


def closed_and_open(world: World, name: str, time: int, but: int | None = None) -> dict[int, float]:
    """Every event counted one by one: those of closed periods, halved since their period's end; live events of the
    period that goes on as they are, but for those of one session."""
    stored = live_worlds.lean(world.model).counts
    assert stored is not None
    period, lives = stored.periods[name].period, HalfLives.of(world.corpus.train, "30d", "8d")
    half_life = {"recent": lives.recent, "trend": lives.trend}[name]
    began, values = time // period * period, dict.fromkeys(range(ITEMS), 0.0)
    for sessions in (world.corpus.train, world.later):
        owner = np.repeat(np.arange(len(sessions)), sessions.lengths)
        for item, at, session in zip(sessions.items.tolist(), sessions.times.tolist(), owner.tolist(), strict=True):
            if at < began:
                values[item] += 2 ** (-(time - (at // period + 1) * period) / half_life)
            elif at < began + period and sessions is world.later and session != but:
                values[item] += 1
    largest = sorted((-value, item) for item, value in values.items() if value)[: stored_items(world)]
    return {item: -value for value, item in largest}


def stored_items(world: World) -> int:
    return live_worlds.lean(world.model).options.memory_items


def test_popularity_holds_the_period_that_goes_on_but_for_the_running_session() -> None:
    world = live_worlds.world()
    first, end = int(world.later.times.min()), int(world.later.times.max())
    last = slice(*world.later.offsets[-2:])
    own, own_times = world.later.items[last].astype(np.int64), world.later.times[last]
    left_out = 0
    for time in (*range(first, end, DAY // 2 + 1), end):
        for name, found in world.live.view(NOTHING).periods.items():
            wanted = closed_and_open(world, name, time)
            assert dict(zip(*(each.tolist() for each in found.at(time)), strict=True)) == pytest.approx(wanted)
            without = dict(
                zip(*(each.tolist() for each in world.live.view(own, own_times).periods[name].at(time)), strict=True)
            )
            assert without == pytest.approx(closed_and_open(world, name, time, len(world.later) - 1))
            left_out += without != dict(zip(*(each.tolist() for each in found.at(time)), strict=True))
    assert left_out


def test_popularity_goes_on_by_period_and_stands_where_nothing_happens() -> None:
    world = live_worlds.world()
    live = LiveHGGNN(live_worlds.lean(world.model), world.corpus.train)
    live_worlds.add(live, world.later)
    assert world.recounted.counts is not None
    end = int(world.later.times.max())
    closed = 0
    for time in (*range(BEGINNING, end + 3 * DAY, 2 * DAY + 1), end + 900 * DAY):
        for name, periods in live.view(NOTHING).periods.items():
            stored = world.recounted.counts.periods[name]
            if (
                time < int(world.corpus.train.times.max())
                or (world.later.times // stored.period == time // stored.period).any()
            ):
                continue  # the period that goes on has a test of its own
            closed += 1
            wanted = stored.at(time)
            found = periods.at(time)
            assert found[0].tolist() == wanted[0].tolist()
            assert found[1].tolist() == pytest.approx(wanted[1].tolist(), rel=1e-12)
    assert closed > 2


def test_what_is_popular_at_a_time_does_not_rest_on_what_was_asked_before() -> None:
    world = live_worlds.world()
    end = int(world.later.times.max())
    times = [*range(BEGINNING + DAY, end + 20 * DAY, 5 * DAY), end + 900 * DAY]
    asked = LiveHGGNN(live_worlds.lean(world.model), world.corpus.train)
    live_worlds.add(asked, world.later)
    asked.happened(5, end + 12 * DAY)
    asked.happened(6, end + 40 * DAY)
    asked.happened(6, end + 40 * DAY, -1)
    found = {}
    for time in np.random.default_rng(3).permutation([*times, *times]).tolist():
        found[time] = {name: periods.at(time) for name, periods in asked.view(NOTHING).periods.items()}
    for time in times:
        alone = LiveHGGNN(live_worlds.lean(world.model), world.corpus.train)
        live_worlds.add(alone, world.later)
        alone.happened(5, end + 12 * DAY)
        for name, periods in alone.view(NOTHING).periods.items():
            items, values = periods.at(time)
            assert (found[time][name][0].tolist(), found[time][name][1].tolist()) == (items.tolist(), values.tolist())


def test_a_late_event_counts_as_if_it_had_come_in_time() -> None:
    world = live_worlds.world()
    end = int(world.corpus.train.times.max())
    early, late = (LiveHGGNN(live_worlds.lean(world.model), world.corpus.train) for _ in range(2))
    early.happened(7, end + DAY)
    for live in (early, late):
        live.happened(3, end + 20 * DAY)
        live.view(NOTHING).periods["recent"].at(end + 40 * DAY)
    late.happened(7, end + DAY)
    found, wanted = (live.view(NOTHING).periods["recent"].at(end + 40 * DAY) for live in (late, early))
    assert found[0].tolist() == wanted[0].tolist()
    assert found[1].tolist() == pytest.approx(wanted[1].tolist(), rel=1e-12)


def request(items: IntArray, user: int, time: int, own: IntArray = NOTHING) -> Asked:
    past = Past(np.array([3, 4, 5]), np.array([BEGINNING] * 3), np.array([0, 3]))
    return Asked(items, user, time, past, True, own)


@pytest.mark.parametrize("preset", ["segue", "memory"])
def test_scores_are_those_of_the_recounted_model(preset: str) -> None:
    world = live_worlds.world(preset)
    time = int(world.later.times.max()) + 80 * DAY  # all periods with events are closed
    asked = [request(np.array([a, b]), user, time) for a, b, user in ((1, 2, 0), (9, 0, 8), (30, 31, 3))]
    found, wanted = world.live.score(asked).scores, world.recounted.score(asked).scores
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    stored = live_worlds.lean(world.model).score(asked).scores
    assert np.abs(found - stored).max() > 0.01  # the live sessions have changed something


def test_a_new_item_has_the_vector_of_its_kin_until_a_trained_item_is_beside_it() -> None:
    world = live_worlds.world("segue")
    live = LiveHGGNN(live_worlds.lean(world.model), world.corpus.train)
    own = live_worlds.lean(world.model).vectors_of(np.arange(ITEMS))[:-1]  # without log share

    def vector() -> IntArray:
        live.score([request(np.array([1]), 0, BEGINNING)])
        return live.vectors_of(np.array([ITEMS]))[:-1, 0]

    live.add([ITEMS])
    assert not vector().any()
    live.resembles(ITEMS, np.array([3, 5]), np.array([0.25, 0.75], dtype=np.float32))
    live.add([ITEMS, ITEMS], 1)
    np.testing.assert_allclose(vector(), 0.25 * own[:, 3] + 0.75 * own[:, 5], rtol=1e-5)
    live.add([ITEMS, 7])
    np.testing.assert_allclose(vector(), own[:, 7], rtol=1e-5)
    live.forget()
    live.add([ITEMS])
    assert not vector().any()
