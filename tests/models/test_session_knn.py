"""Session neighbours by hand and against a plain loop; what is past, and whose it is."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import worlds
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from worlds import DAY, TEST, TRAIN, VALIDATION

from segue.contract.model import SessionModel
from segue.data.batches import Batch
from segue.data.corpus import Corpus, Part
from segue.errors import ConfigError
from segue.models.session_knn import model as session_knn
from segue.nn.neighbours import scoring
from segue.nn.neighbours.weights import item_weight, match_weight

PLAIN = {"preset": "v_sknn", "weighting": "same", "match_weighting": "same", "idf": 0.0}
HISTORY = {"length": 20, "history": 50}


def fitted(corpus: Corpus, **options: object) -> SessionModel:
    return worlds.fitted({"model": {"name": "session_knn", **options}}, corpus)


def last_scores(corpus: Corpus, **options: object) -> list[float]:
    """Of the last event of the last test session."""
    model = fitted(corpus, **options)
    found: list[float] = worlds.scores_of(model, worlds.events_of(model, corpus))[-1].tolist()
    return found


def days(*train: list[int], test: list[int]) -> Corpus:
    """Sessions of as many users, the n-th on day n; the last is the test session, all its events at its start."""
    users = [*([session] for session in train), [test]]
    parts = [*([TRAIN] for _ in train), [TEST]]
    return worlds.corpus_of(users, parts, n_items=6, step=0)


def test_v_sknn_by_hand() -> None:
    """(0, 1) runs, weights (1/2)² and 1. Similarities over 2 items: 5/8, 1/2, 1/8; the third matches an item back."""
    corpus = days([0, 2, 1], [1, 3], [0, 4], test=[0, 1, 5])
    a, b, c = 5 / 8, 1 / 2, 1 / 8 / 4
    idf = [math.log(3 / 2)] * 2 + [math.log(3)] * 3 + [0.0]
    wanted = [(a + c), (a + b), a, b, c, 0.0]
    found = last_scores(corpus, preset="v_sknn")
    assert found == pytest.approx([score * (1 + idf[item]) for item, score in enumerate(wanted)])
    assert last_scores(corpus, preset="v_sknn", idf=0.0) == pytest.approx(wanted)
    assert last_scores(corpus, preset="v_sknn", idf=0.0, k=1) == pytest.approx([a, a, a, 0, 0, 0])


def test_stan_by_hand() -> None:
    """(0, 1) runs on day 3, weights e^(-1/2) and 1. N = (0, 2, 1, 2) of day 0 and (3, 0) of day 1."""
    corpus = days([0, 2, 1, 2], [3, 0], [4, 4], test=[0, 1, 5])
    norm = math.sqrt(1 + math.exp(-1))
    first = (1 + math.exp(-0.5)) / (norm * math.sqrt(3)) * math.exp(-3 / 4)
    second = math.exp(-0.5) / (norm * math.sqrt(2)) * math.exp(-2 / 4)
    # From place 3, where item 1 stands: item 0 two away, item 2 (its last place) one. From place 2: item 3 one away.
    wanted = [first * math.exp(-2 / 5) + second, first, first * math.exp(-1 / 5), second * math.exp(-1 / 5), 0, 0]
    options: dict[str, Any] = {"preset": "stan", "spw": 2.0, "snh": "4d", "inh": 5.0}
    assert last_scores(corpus, **options) == pytest.approx(wanted)
    ageless = last_scores(corpus, **{**options, "snh": None})
    assert ageless[3] == pytest.approx(wanted[3] * math.exp(2 / 4))
    assert last_scores(corpus, **{**options, "inh": None})[:4] == pytest.approx([first + second, first, first, second])


def test_vstan_by_hand() -> None:
    """The same, each neighbour weighted by where the last shared item stands, each item by its idf."""
    corpus = days([0, 2, 1, 2], [3, 0], [4, 4], test=[0, 1, 5])
    options: dict[str, Any] = {"spw": 2.0, "snh": "4d", "inh": None}
    stan = last_scores(corpus, preset="stan", **options)
    found = last_scores(corpus, preset="vstan", **options, ipw=0.5, idf=2.0)
    second = stan[3] * math.exp(-1 / 0.5)
    idf = [1 + 2 * math.log(3 / sessions) for sessions in (2, 1, 1, 1)]
    wanted = [stan[1] + second, stan[1], stan[1], second]
    assert found[:4] == pytest.approx([score * factor for score, factor in zip(wanted, idf, strict=True)])


def test_a_repeated_item_counts_once_at_its_last_place() -> None:
    """(1, 0, 1): item 1 at place 3, weight 1, item 0 at place 2, (2/3)²; two distinct items."""
    corpus = days([0, 2], [1, 3], test=[1, 0, 1, 5])
    assert last_scores(corpus, preset="v_sknn", idf=0.0)[2:4] == pytest.approx([4 / 9 / 2 / 4, 1 / 2])


@pytest.mark.parametrize(
    ("shape", "items", "matches"),
    [
        ("same", [1, 1, 1], [1, 1, 1]),
        ("div", [1 / 3, 2 / 3, 1], [1 / 3, 1 / 2, 1]),
        ("quadratic", [1 / 9, 4 / 9, 1], [1 / 9, 1 / 4, 1]),
        ("log", [1 / math.log10(n + 0.7) for n in (3, 2, 1)], [1 / math.log10(n + 0.7) for n in (4, 3, 2)]),
        ("exp", [math.exp(-1), math.exp(-0.5), 1], [math.exp(-1), math.exp(-0.5), 1]),
    ],
)  # fmt: skip
def test_weights_by_place(shape: Any, items: list[float], matches: list[float]) -> None:
    place, length = np.array([1, 2, 3]), np.array([3, 3, 3])
    np.testing.assert_allclose(item_weight(shape, 2.0, place, length), items)
    np.testing.assert_allclose(match_weight(shape, 2.0, place, length), matches)


def test_only_the_most_recent_of_the_sample_are_compared() -> None:
    corpus = days([0, 1, 2], [0, 3], [1, 4], [5, 5], test=[0, 1, 5])
    assert last_scores(corpus, **PLAIN, sample=2) == pytest.approx([0.5, 0.5, 0, 0.5, 0.5, 0])
    assert last_scores(corpus, **PLAIN, sample=1) == pytest.approx([0, 0.5, 0, 0, 0.5, 0])


def test_ties_go_to_the_most_recent_and_then_to_the_larger_number() -> None:
    users = [[[0, 1]], [[0, 2]], [[0, 3]], [[0, 4]]]
    starts = [[2 * DAY], [3 * DAY], [3 * DAY], [5 * DAY]]
    corpus = worlds.corpus_of(users, [[TRAIN]] * 3 + [[TEST]], starts=starts)
    for k, wanted in ((1, [1, 0, 0, 1, 0]), (2, [2, 0, 1, 1, 0])):
        assert last_scores(corpus, **PLAIN, k=k) == wanted
        assert last_scores(corpus, **PLAIN, sample=k) == wanted


def test_equal_fractions_are_equal_similarities() -> None:
    """(3/6)² + (4/6)² = (5/6)², though not in doubles: items at 3 and 4 tie with the older session's at 5, and win."""
    running = [0, 5, 2, 3, 4, 1]
    corpus = worlds.corpus_of([[[4, 6]], [[2, 3]], [[*running, 5]]], [[TRAIN], [TRAIN], [TEST]], n_items=7)
    sim = 25 / 36 / 6
    assert last_scores(corpus, preset="v_sknn", k=1, idf=0.0) == pytest.approx([0, 0, sim / 9, sim / 9, 0, 0, 0])
    assert last_scores(corpus, preset="v_sknn", k=2, idf=0.0)[4] == pytest.approx(sim / 4)


def test_a_session_that_has_not_ended_is_no_neighbour() -> None:
    """The event is on day 2: sessions that end then or later do not count, nor one that has begun."""
    users = [[[0, 1]], [[0, 2]], [[0, 3]], [[0, 4]], [[0, 5]]]
    starts = [[DAY], [2 * DAY - 1000], [2 * DAY], [3 * DAY], [2 * DAY]]
    corpus = worlds.corpus_of(users, [[TRAIN]] * 4 + [[TEST]], starts=starts)
    assert last_scores(corpus, **PLAIN) == [1, 1, 0, 0, 0, 0]


def test_a_train_session_is_not_its_own_neighbour() -> None:
    corpus = worlds.once()
    model = fitted(corpus, preset="v_sknn")
    assert not worlds.scores_of(model, worlds.events_of(model, corpus, corpus.train)).any()
    twice = days([0, 1, 2], [0, 3, 4], test=[0, 5])
    model = fitted(twice, **PLAIN)
    found = worlds.scores_of(model, worlds.events_of(model, twice, twice.train))
    assert found.tolist() == [[0.0] * 6, [0.0] * 6, [1, 1, 1, 0, 0, 0], [0.5, 0.5, 0.5, 0, 0, 0]]


def test_other_parts_are_not_indexed() -> None:
    def arrays(part: Part, session: list[int]) -> dict[str, Tensor]:
        corpus = worlds.corpus_of([[[0, 1], [1, 2], session]], [[TRAIN, TRAIN, part]], n_items=6)
        return fitted(corpus).arrays()

    for part in (VALIDATION, TEST):
        one, other = arrays(part, [3, 4, 0]), arrays(part, [1, 5, 2, 2])
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_without_neighbours_nothing_is_a_hit() -> None:
    corpus = days([0, 1], [1, 2], test=[3, 0])
    assert last_scores(corpus) == [0.0] * 6
    assert worlds.hit_rate(fitted(corpus), corpus, 5) == 0


def test_the_declared_fill_ranks_below_every_neighbour() -> None:
    corpus = days([0, 1], [2], [2, 2], [3], test=[0, 5])  # support 1, 1, 3, 1, 0, 0
    found = last_scores(corpus, **PLAIN, fill="popularity")
    assert found == [1.0, 1.0, 3 / 4 - 1, 1 / 4 - 1, -1.0, -1.0]


def pair_of_users(running: list[int]) -> Corpus:
    """User 0 had (3, 4) on day 0 and (0, 1) on day 2, user 1 (0, 2) on day 3; user 0 runs on day 5."""
    starts = [[0, 2 * DAY, 5 * DAY], [3 * DAY]]
    return worlds.corpus_of([[[3, 4], [0, 1], running], [[0, 2]]], [[TRAIN, TRAIN, TEST], [TRAIN]], starts=starts)


def test_boost_raises_the_users_own_sessions() -> None:
    corpus = pair_of_users([0, 4])
    assert last_scores(corpus, **PLAIN, boost=2.5) == pytest.approx([3.5 + 1, 3.5, 1, 0, 0])
    assert last_scores(corpus, **PLAIN, boost=2.5, k=1) == pytest.approx([3.5, 3.5, 0, 0, 0])
    model = fitted(corpus, **PLAIN, boost=2.5)
    for unknown in (2, 1):
        scores = worlds.scores_of(model, worlds.request_of(model, [0], user=unknown))[0].tolist()
        assert scores == pytest.approx([2, 1, 1, 0, 0] if unknown == 2 else [1 + 3.5, 1, 3.5, 0, 0])


def test_sessions_of_unknown_users_are_nobodys_own() -> None:
    """Rare users may be part of train while they are not known."""
    corpus = replace(pair_of_users([0, 4]), n_users=1)
    model = fitted(corpus, **PLAIN, boost=2.5)
    assert worlds.scores_of(model, worlds.request_of(model, [0], user=1))[0].tolist() == [2, 1, 1, 0, 0]


def test_a_short_session_is_preceded_by_the_users_last_items() -> None:
    """(0) runs; the history is (3, 4), (0, 1). Extended to 3 it is (0, 1, 0): item 1 at place 2, item 0 at 3."""
    corpus = pair_of_users([0, 4])
    options: dict[str, Any] = {"preset": "v_sknn", "idf": 0.0, "window": HISTORY}
    one, zero = 4 / 9, 1.0
    own, other = (one + zero) / 2, zero / 2
    assert last_scores(corpus, **options, extend=3) == pytest.approx([own + other, own, other, 0, 0])
    assert last_scores(corpus, **options, extend=1) == pytest.approx([2, 1, 1, 0, 0])
    # (3, 4, 0, 1, 0) is all there is: items 3, 4, 1, 0 at places 1, 2, 4, 5.
    far = (1 / 25 + 4 / 25) / 4 / 16
    assert last_scores(corpus, **options, extend=9)[3:] == pytest.approx([far, far])


def test_a_session_long_enough_is_not_extended() -> None:
    corpus = pair_of_users([0, 2, 1, 4])
    plain = last_scores(corpus, preset="v_sknn")
    assert last_scores(corpus, preset="v_sknn", window=HISTORY, extend=3) == plain
    assert last_scores(corpus, preset="v_sknn", window=HISTORY, extend=4) != plain


def test_reminders_join_the_normalised_score() -> None:
    """(0) runs: base (2, 1, 1)/2. The last session was (0, 1): recency 1/2 and 1, and the one cosine is the largest."""
    remind = {"sessions": 1, "base": 4.0, "recency": 2.0, "similarity": 1.0}
    found = last_scores(pair_of_users([0, 4]), **PLAIN, window=HISTORY, remind=remind)
    assert found == pytest.approx([4 + 1 + 1, 2 + 2 + 1, 2, 0, 0])


def test_what_reminds_is_the_users_part() -> None:
    corpus = pair_of_users([0, 4])
    model = fitted(corpus, preset="vsknn_ebr", remind={"sessions": 2, "base": 3.0}, remind_by="rank")
    batch, items = worlds.events_of(model, corpus), torch.tensor([1, 2, 3])
    parts = model.parts(batch, items)
    reminded = [1 + 1, 0, 1 / 4]  # recency of 1, 0, 4, 3: 1, 1/2, 1/3, 1/4; (3, 4) shares nothing with (0)
    assert parts.user["reminder"].tolist() == pytest.approx(reminded)
    torch.testing.assert_close(parts.total(), worlds.scores_of(model, batch)[0, items])


def test_reminders_by_age_need_a_history() -> None:
    """(0, 1) on day 0, (2, 1) on day 1, and (1) runs on day 2: items 1 and 2 are a day old, item 0 is two."""
    starts = [[0, DAY, 2 * DAY], [DAY]]
    parts = [[TRAIN, TRAIN, TEST], [TRAIN]]
    corpus = worlds.corpus_of([[[0, 1], [2, 1], [1, 3]], [[0, 2]]], parts, starts=starts, step=0)
    options: dict[str, Any] = {"preset": "vsknn_ebr", "extend": 0}
    remind = {"sessions": 5, "base": 1.0, "recency": 1.0, "similarity": 0.0}
    model, bare = fitted(corpus, **options, remind=remind), fitted(corpus, **options, remind=None)
    for request, wanted in (
        (worlds.events_of(model, corpus), [0.5, 1, 1, 0]),
        (worlds.request_of(model, [0], user=2), [0, 0, 0, 0]),
    ):
        scores, base = worlds.scores_of(model, request)[0], worlds.scores_of(bare, request)[0]
        assert (scores - base / base.max()).tolist() == pytest.approx(wanted)


def test_small_blocks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = worlds.busy()
    for preset in session_knn.SessionKNN.presets:
        model = fitted(corpus, preset=preset)
        batch = worlds.events_of(model, corpus)
        whole = worlds.scores_of(model, batch)
        with monkeypatch.context() as patch:
            patch.setattr(scoring, "CELLS_PER_BLOCK", 3)
            assert torch.equal(worlds.scores_of(model, batch), whole)


def test_what_it_needs() -> None:
    corpus = worlds.busy()
    assert {preset: set(fitted(corpus, preset=preset).needs) for preset in ("v_sknn", "vstan", "vsknn_ebr")} == {
        "v_sknn": {"time"},
        "vstan": {"time"},
        "vsknn_ebr": {"time", "history"},
    }
    assert "history" in fitted(corpus, boost=1.0).needs


@pytest.mark.parametrize("options", [{"extend": 3}, {"remind": {}}])
def test_the_history_must_be_there_to_be_looked_at(options: dict[str, object]) -> None:
    (key,) = options
    with pytest.raises(ConfigError, match=rf"setting 'model\.{key}': .*window\.history above 0"):
        fitted(worlds.busy(), preset="v_sknn", **options)


_WEIGHTS = ("idf", "boost", "inh", "spw", "ipw")


@pytest.mark.parametrize("name", _WEIGHTS)
def test_no_weight_is_beyond_what_sums_of_scores_can_hold(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"setting 'model\.{name}': .*, found 1e\+308"):
        fitted(worlds.busy(), preset="vstan_ebr", **{name: 1e308})
    corpus = worlds.busy()
    largest = dict.fromkeys(_WEIGHTS, 1e6)
    model = fitted(corpus, preset="vstan_ebr", weighting="exp", remind={"base": 1e6}, **largest)
    assert torch.isfinite(worlds.scores_of(model, worlds.events_of(model, corpus))).all()


# The plain loop.


def _weight(shape: str, scale: float, distance: int) -> float:
    return {"same": 1.0, "log": 1 / math.log10(distance + 1.7), "exp": math.exp(-distance / scale)}[shape]


def _item_weight(config: Any, place: int, n: int) -> float:
    if config.weighting in ("div", "quadratic"):
        return (place / n) ** (2 if config.weighting == "quadratic" else 1)
    return _weight(config.weighting, config.spw, n - place)


def _match_weight(config: Any, place: int, n: int) -> float:
    q = n - place + 1
    if config.match_weighting in ("div", "quadratic"):
        return 1 / q ** (2 if config.match_weighting == "quadratic" else 1)
    return _weight(config.match_weighting, config.ipw, q if config.match_weighting == "log" else q - 1)


def _by_loop(corpus: Corpus, config: Any, batch: Batch, event: int) -> list[float]:
    """The scores of one event before reminders and fill, session by session and item by item."""
    row, time = int(batch.row[event]), int(batch.time[event])
    user = int(batch.user[row])
    running = batch.items[row, : int(batch.position[event]) + 1].tolist()
    past = batch.store.items[slice(*batch.past[row].tolist())].tolist()
    missing = min(max(config.extend - len(running), 0), config.window.history)
    running = [*(past[-missing:] if missing else []), *running]
    at = {item: place for place, item in enumerate(running, 1)}
    n = len(running)
    weights = {item: _item_weight(config, place, n) for item, place in at.items()}
    train = corpus.train
    cuts = zip(train.offsets[:-1], train.offsets[1:], train.user.tolist(), strict=True)
    sessions = [
        (int(train.times[b - 1]), number, {int(i): p for p, i in enumerate(train.items[a:b], 1)}, owner)
        for number, (a, b, owner) in enumerate(cuts)
    ]
    past_ones = sorted((s for s in sessions if s[0] < time and at.keys() & s[2].keys()), key=lambda s: s[:2])
    near = []
    for end, number, places, owner in past_ones[-config.sample :]:
        shared = at.keys() & places.keys()
        sim = sum(weights[item] for item in shared) / len(at)
        if config.cosine:
            norm = math.sqrt(sum(w * w for w in weights.values()))
            sim = sum(weights[item] for item in shared) / (norm * math.sqrt(len(places)))
        sim = float(f"{sim:.11g}")
        if owner == user < corpus.n_users:
            sim *= 1 + config.boost
        if config.snh is not None:
            sim *= math.exp((end - time) / (int(config.snh[:-1]) * DAY))
        near.append((float(f"{sim:.11g}"), end, number, places, max(shared, key=at.__getitem__)))
    scores = [0.0] * corpus.n_items
    for sim, _, _, places, match in sorted(near, reverse=True, key=lambda s: s[:3])[: config.k]:
        for item, place in places.items():
            holding = sum(item in s[2] for s in sessions)
            if config.idf_counts == "events":
                holding = int((train.items == item).sum())
            anchor = places[match]
            if config.anchor == "neighbour":
                anchor = max(places[other] for other in at.keys() & places.keys())
            close = math.exp(-abs(place - anchor) / config.inh) if config.inh else 1.0
            given = sim * _match_weight(config, at[match], n) * close
            scores[item] += given * (1 + config.idf * math.log(len(sessions) / holding))
    return scores


SHAPES = st.sampled_from(["same", "div", "quadratic", "log", "exp"])
OPTIONS = st.fixed_dictionaries(
    {
        "k": st.integers(1, 6),
        "sample": st.integers(1, 8),
        "weighting": SHAPES,
        "match_weighting": SHAPES,
        "spw": st.sampled_from([0.5, 3.0]),
        "ipw": st.sampled_from([0.5, 3.0]),
        "cosine": st.booleans(),
        "snh": st.sampled_from([None, "2d", "30d"]),
        "inh": st.sampled_from([None, 0.7, 4.0]),
        "idf": st.sampled_from([0.0, 1.5]),
        "idf_counts": st.sampled_from(["sessions", "events"]),
        "anchor": st.sampled_from(["running", "neighbour"]),
        "extend": st.integers(0, 5),
        "boost": st.sampled_from([0.0, 2.5]),
        "window": st.fixed_dictionaries({"length": st.integers(1, 6), "history": st.integers(1, 6)}),
    }
)
LOGS = st.lists(
    st.lists(
        st.tuples(st.lists(st.integers(0, 7), min_size=1, max_size=6), st.integers(0, 12)), min_size=1, max_size=4
    ),
    min_size=1,
    max_size=5,
)  # users, their sessions, each with the day it starts on


@given(log=LOGS, options=OPTIONS)
def test_it_equals_a_loop(log: list[list[tuple[list[int], int]]], options: dict[str, Any]) -> None:
    log = [sorted(own, key=lambda session: session[1]) for own in log]
    users = [[items for items, _ in own] for own in log]
    starts = [[day * DAY for _, day in own] for own in log]
    parts = [[TRAIN] * max(len(own) - 1, 1) + [TEST] * (len(own) > 1) for own in log]
    corpus = worlds.corpus_of(users, parts, n_items=9, starts=starts, step=DAY // 2)
    model = fitted(corpus, preset="v_sknn", **options)
    played = corpus.sessions.take(np.flatnonzero(corpus.sessions.lengths > 1))
    if not len(played):
        return
    batch = worlds.events_of(model, corpus, played)
    wanted = [_by_loop(corpus, model.config, batch, event) for event in range(len(batch))]
    found = worlds.scores_of(model, batch)
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=1e-9, atol=1e-12)
