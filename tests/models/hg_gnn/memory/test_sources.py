"""Every source against its definition, written as loops over the sessions that an event may know of."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping

import costly
import pytest
import torch
import worlds
from hypothesis import given
from hypothesis import strategies as st
from worlds import BEGINNING, DAY

from segue.contract.memory_sources import OWN_SESSIONS, SOURCES, STEPS, TABLE, MemorySource
from segue.data.batches import Batch
from segue.data.corpus import Corpus
from segue.data.loader import Loader
from segue.models.hg_gnn import HGGNN
from segue.settings.units import HOUR

N_ITEMS, WINDOW, HALF_LIFE = 6, 4, 12 * HOUR
Values = dict[int, float]


class World:
    """Sessions of train as lists, and what one event may know."""

    def __init__(self, corpus: Corpus, top: int) -> None:
        train = corpus.train
        ends = train.offsets[1:]
        self.sessions = [train.items[a:b].tolist() for a, b in zip(train.offsets[:-1], ends, strict=True)]
        self.times = [train.times[a:b].tolist() for a, b in zip(train.offsets[:-1], ends, strict=True)]
        self.users, self.top = train.user.tolist(), top

    def others(self, own: int) -> list[list[int]]:
        return [items for number, items in enumerate(self.sessions) if number != own]

    def strongest(
        self,
        strength: Callable[[list[list[int]], int], float],
        own: int,
        source: int | None = None,
        most: int = N_ITEMS,
    ) -> Values:
        """Strengths without the session `own` of the items that have a place, with it and without it.

        source: the item whose companions are asked for; without the session it is in one less, for all of them alike.
        most: places that are asked for, of those that there are.
        """
        top = min(self.top, most)
        whole = {item: strength(self.sessions, item) for item in range(N_ITEMS)}
        least = sorted(whole.values(), reverse=True)[top] if top < N_ITEMS else 0.0
        found = {item: strength(self.others(own), item) for item in range(N_ITEMS)}
        n, left = (sum(source in items for items in sessions) for sessions in (self.sessions, self.others(own)))
        cut = least * math.sqrt((n + 20) / (left + 20))
        return {item: value for item, value in found.items() if value > cut * (1 + 1e-12) and whole[item] > least}

    def earlier(self, own: int, start: int) -> list[int]:
        """Numbers of the user's sessions that ended before this one began."""
        mine = [n for n, user in enumerate(self.users) if user == self.users[own] and n != own]
        return [n for n in mine if self.times[n][-1] < start]


def after(sessions: list[list[int]], first: int, second: int, farthest: int) -> float:
    """Sum of 2520 / distance over the places where `second` comes up to `farthest` events after `first`."""
    if first == second:
        return 0
    return sum(
        2520 // (b - a) if farthest > 1 else 1
        for items in sessions
        for a in range(len(items))
        for b in range(a + 1, min(a + farthest + 1, len(items)))
        if (items[a], items[b]) == (first, second)
    )


def close(sessions: list[list[int]], one: int, other: int) -> float:
    if one == other:
        return 0
    shared = sum({one, other} <= set(items) for items in sessions)
    n_one, n_other = (sum(item in items for items in sessions) for item in (one, other))
    return shared / math.sqrt((n_one + 20) * (n_other + 20))


def shared_by(sessions: list[list[int]], one: int, other: int) -> int:
    return sum({one, other} <= set(items) for items in sessions) if one != other else 0


def two_steps(world: World, own: int, prefix: list[int]) -> Values:
    """Every way of two steps over shared sessions, by the sessions but `own`."""
    others = world.others(own)
    d = [sum(shared_by(others, item, other) for other in range(N_ITEMS)) for item in range(N_ITEMS)]

    def near(item: int, most: int = N_ITEMS) -> Values:
        return world.strongest(lambda sessions, i: close(sessions, item, i), own, item, most)

    most = STEPS[0] // len(prefix)
    ways = [(start, via, end) for start in prefix for via in near(start, most) for end in near(via) if end != start]
    return _sum(
        (end, shared_by(others, start, via) * shared_by(others, via, end) / (d[via] * math.sqrt(d[start] * d[end])))
        for start, via, end in ways
    )


def popular(world: World, time: int, half_life: float, top: int) -> Values:
    """Decayed counts of what happened in periods that closed before `time`."""
    period = int(max(HOUR, half_life // 4))
    first, last = min(t for ts in world.times for t in ts) // period, max(t for ts in world.times for t in ts) // period
    now = min(max(time // period, first), last + 1)
    found: Counter[int] = Counter()
    for items, times in zip(world.sessions, world.times, strict=True):
        for item, moment in zip(items, times, strict=True):
            if moment // period < now:
                found[item] += 2 ** (-(now - 1 - moment // period) * period / half_life)
    kept = sorted((item for item in found if found[item] >= 2**-10), key=lambda item: (-found[item], item))[:top]
    return {item: found[item] for item in kept}


def expected(world: World, own: int, prefix: list[int], time: int, start: int) -> dict[MemorySource, Values]:
    last, top = prefix[-1], world.top
    past = world.earlier(own, start)
    history = Counter(item for n in past for item in world.sessions[n])
    decayed: Counter[int] = Counter()
    similar: Counter[int] = Counter()
    for n in past:
        for item, moment in zip(world.sessions[n], world.times[n], strict=True):
            decayed[item] += 2 ** (-(time - moment) / HALF_LIFE)
    for n in past[-OWN_SESSIONS:]:
        distinct = set(world.sessions[n])
        for item in distinct:
            similar[item] += len(distinct & set(prefix)) / math.sqrt(len(distinct) + 1)
    basket: Counter[int] = Counter()
    for item in prefix:
        basket.update(world.strongest(lambda sessions, i, item=item: close(sessions, item, i), own, item))
    return {
        "session": _sum((item, 1 / (1 + r)) for r, item in enumerate(reversed(prefix))),
        "history": dict(history),
        "recent_history": dict(decayed),
        "last_session": dict.fromkeys(world.sessions[past[-1]], 1.0) if past else {},
        "own_sessions": {item: value for item, value in similar.items() if value},
        "transition": world.strongest(lambda sessions, i: after(sessions, last, i, 1), own),
        "predecessor": world.strongest(lambda sessions, i: after(sessions, i, last, 1), own),
        "order": world.strongest(lambda sessions, i: after(sessions, last, i, 10), own),
        "order_before": world.strongest(lambda sessions, i: after(sessions, prefix[-2], i, 10), own)
        if len(prefix) > 1
        else {},
        "companion": world.strongest(lambda sessions, i: close(sessions, last, i), own, last),
        "basket": dict(basket),
        "two_steps": two_steps(world, own, prefix),
        "recent": popular(world, time, HALF_LIFE, top),
        "trend": popular(world, time, 20 * HALF_LIFE, top),
    }


def _sum(pairs) -> Values:
    found: Counter[int] = Counter()
    for item, value in pairs:
        found[item] += value
    return dict(found)


def memory_of(corpus: Corpus, top: int) -> HGGNN:
    overrides = {
        "model": {
            "name": "hg_gnn", "preset": "memory", "memory_items": top, "window": {"length": WINDOW},
            "history_half_life": "12h", "trend_half_life": "12h",
        },
    }  # fmt: skip
    model = worlds.fitted(overrides, corpus)
    assert isinstance(model, HGGNN)
    return model


def recalled(model: HGGNN, batch: Batch, event: int) -> Mapping[MemorySource, Values]:
    found, _ = model.recall(batch, batch.prefixes(), frozenset(SOURCES))
    return {
        source: dict(zip(r.item[r.event == event].tolist(), r.value[r.event == event].tolist(), strict=True))
        for source, r in found.items()
    }


logs = st.lists(
    st.lists(st.lists(st.integers(0, N_ITEMS - 1), min_size=2, max_size=7), min_size=1, max_size=4),
    min_size=1,
    max_size=4,
)


@costly.examples(20)
@given(users=logs, top=st.integers(1, N_ITEMS), spacing=st.sampled_from([HOUR // 2, 7 * HOUR, DAY]))
def test_every_source_is_its_definition_without_the_running_session(
    users: list[list[list[int]]], top: int, spacing: int
) -> None:
    starts = [[(j * len(users) + u) * spacing for j in range(len(own))] for u, own in enumerate(users)]
    corpus = worlds.corpus_of(users, n_items=N_ITEMS, starts=starts)
    model, world = memory_of(corpus, top), World(corpus, top)
    for batch in Loader(corpus, corpus.train, WINDOW).batches(16):
        for event in range(len(batch)):
            row, position = int(batch.row[event]), int(batch.position[event])
            own, time = int(batch.session[row]), int(batch.time[event])
            prefix = batch.items[row, : position + 1].tolist()
            wanted = expected(world, own, prefix, time, world.times[own][0])
            found = recalled(model, batch, event)
            for source in SOURCES:
                assert found[source] == pytest.approx(wanted[source], rel=1e-9), source


# Not "predecessor": in sessions without repeats what a session adds to it is in the prefix already.
PAIRED: tuple[MemorySource, ...] = ("transition", "order", "companion", "basket", "two_steps")


def suggested(model: HGGNN, corpus: Corpus) -> tuple[Batch, dict[MemorySource, set[tuple[int, int]]]]:
    """All train events as a batch; by source the pairs (event, item) recalled, of items that are not in the prefix."""
    (batch,) = Loader(corpus, corpus.train, WINDOW).batches(10**6)
    prefixes = batch.prefixes()
    found, _ = model.recall(batch, prefixes, frozenset(PAIRED))
    pairs = {}
    for source, r in found.items():
        new = ~((prefixes.items[r.event] == r.item[:, None]) & prefixes.mask[r.event]).any(1)
        pairs[source] = set(zip(r.event[new].tolist(), r.item[new].tolist(), strict=True))
    return batch, pairs


def test_a_session_leaves_no_trace_in_what_it_has_pushed_into_place() -> None:
    """Sessions of an even draw, five places per item: what is recalled must not tell the target, 1 item of 26 to 29.

    An item that has its place from the running session alone would be left there with less than any other."""
    random = torch.Generator().manual_seed(3)
    users = [[torch.randperm(30, generator=random)[:6].tolist() for _ in range(8)] for _ in range(200)]
    corpus = worlds.corpus_of(users, n_items=30)
    model = memory_of(corpus, 5)
    batch, honest = suggested(model, corpus)
    for table in model.recall.counts.pairs.values():
        table.least.zero_()
    _, careless = suggested(model, corpus)

    def share_of_targets(pairs: set[tuple[int, int]]) -> float:
        return sum(int(batch.target[event]) == item for event, item in pairs) / len(pairs)

    for source in PAIRED:
        assert share_of_targets(honest[source]) < 1 / 25
        assert share_of_targets(careless[source] - honest[source]) > 1 / 20


def test_what_is_left_of_a_session_is_nowhere_below_what_others_need_for_a_place() -> None:
    """A companion of the last item, which is in one session less, is above the cut that this leaves for everybody."""
    random = torch.Generator().manual_seed(5)
    users = [[torch.randperm(40, generator=random)[:6].tolist() for _ in range(6)] for _ in range(150)]
    corpus = worlds.corpus_of(users, n_items=40)
    model = memory_of(corpus, 8)
    (batch,) = Loader(corpus, corpus.train, WINDOW).batches(10**6)
    found, _ = model.recall(batch, batch.prefixes(), frozenset({"companion"}))
    event, value = found["companion"].event, found["companion"].value
    last = batch.prefixes().items[event, batch.position[event]]
    n, least = model.recall.support[last].double(), model.recall.counts.pairs["basket"].least[last]
    assert (value > least * ((n + 20) / (n + 19)).sqrt()).all()
    assert (least > 0).all()


@pytest.mark.parametrize("source", SOURCES)
def test_sources_say_in_words_why(source: MemorySource) -> None:
    assert TABLE[source].words
    assert ("{item}" in TABLE[source].words) <= (TABLE[source].speaks_for == "session")


def test_before_anything_has_closed_nothing_is_popular_and_after_train_nothing_changes() -> None:
    corpus = worlds.corpus_of([[[0, 1], [2, 0]]], starts=[[0, 3 * DAY]])
    model = memory_of(corpus, 6)
    table = model.recall.counts.periods["recent"]
    times = torch.tensor([BEGINNING - DAY, BEGINNING, BEGINNING + 4 * DAY, BEGINNING + 400 * DAY])
    item, value, owner = table.at(times)
    assert [item[owner == place].tolist() for place in range(4)] == [[], [], [0, 1, 2], [0, 1, 2]]
    assert torch.equal(value[owner == 2], value[owner == 3])
