"""What every model must keep to: every file in ``models/``, every preset of it. T numbers: the test catalogue."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
import worlds
from torch import Tensor
from worlds import TEST, TRAIN

from segue import models
from segue.contract.encoder import SessionEncoder
from segue.contract.model import SessionModel
from segue.data.batches import Batch, Past, request
from segue.data.corpus import Corpus
from segue.data.loader import Loader

CASES = [(name, preset) for name in models.names() for preset in models.load(name).presets]
COUNTING = [(name, preset) for name, preset in CASES if not issubclass(models.load(name), SessionEncoder)]

case = pytest.mark.parametrize(("name", "preset"), CASES)
counting_case = pytest.mark.parametrize(("name", "preset"), COUNTING)


@cache
def _ready(name: str, preset: str) -> tuple[SessionModel, Corpus]:
    corpus = worlds.busy()
    model = worlds.fitted(worlds.small(name, preset), corpus)
    worlds.train(model, corpus, epochs=2)
    return model, corpus


@pytest.fixture
def ready(name: str, preset: str) -> tuple[SessionModel, Corpus]:
    """A fitted (and a little trained) model on the busy world. Not to be changed by the test."""
    return _ready(name, preset)


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@case
def test_one_finite_score_per_item_and_event(ready: tuple[SessionModel, Corpus]) -> None:  # T3
    model, corpus = ready
    batch = worlds.events_of(model, corpus)
    scores = worlds.scores_of(model, batch)
    assert scores.shape == (len(batch), corpus.n_items)
    assert torch.isfinite(scores).all()
    assert scores.is_floating_point()


@case
def test_padding_and_batch_mates_change_nothing(ready: tuple[SessionModel, Corpus]) -> None:  # T1
    model, corpus = ready
    together = worlds.events_of(model, corpus, corpus.sessions)
    alone = [worlds.scores_of(model, batch) for batch in worlds.events_singly(model, corpus, corpus.sessions)]
    close(torch.cat(alone), worlds.scores_of(model, together))
    padded = replace(
        together,
        items=torch.nn.functional.pad(together.items, (0, 3)),
        mask=torch.nn.functional.pad(together.mask, (0, 3)),
    )
    close(worlds.scores_of(model, padded), worlds.scores_of(model, together))


@case
def test_truncation_keeps_the_last_items(name: str, preset: str) -> None:  # T2
    corpus = worlds.busy()
    window = models.build(models.with_preset(worlds.small(name, preset))).config.window
    length = min(window.length, 6)
    options = {**worlds.small(name, preset)["model"], "window": {"length": length, "history": window.history}}
    if "inner" in options:
        options["inner"] = {**options["inner"], "window": {"length": length}}
    model = worlds.fitted({"model": options}, corpus)
    worlds.train(model, corpus, epochs=1)
    number = worlds.session_numbers(corpus, TEST)[0]
    tail = [int(i) % corpus.n_items for i in range(length + 1)]
    long, short = (
        worlds.sessions_in_place_of(corpus, number, [[4, 2, 4, *tail]]),
        worlds.sessions_in_place_of(corpus, number, [tail]),
    )
    *_, of_long = worlds.events_singly(model, corpus, long)
    *_, of_short = worlds.events_singly(model, corpus, short)
    close(worlds.scores_of(model, of_long), worlds.scores_of(model, replace(of_short, time=of_long.time)))


@case
def test_later_items_of_the_session_change_nothing(ready: tuple[SessionModel, Corpus]) -> None:  # T5
    model, corpus = ready
    number = worlds.session_numbers(corpus, TEST)[0]
    played = worlds.sessions_in_place_of(corpus, number, [[1, 2, 3, 4, 5, 6]])
    other = worlds.sessions_in_place_of(corpus, number, [[1, 2, 3, 7, 8, 0]])
    scores, others = (worlds.scores_of(model, worlds.events_of(model, corpus, s)) for s in (played, other))
    close(others[:3], scores[:3])


@case
def test_two_evaluations_are_equal(ready: tuple[SessionModel, Corpus]) -> None:  # T6
    model, corpus = ready
    batch = worlds.events_of(model, corpus)
    assert torch.equal(worlds.scores_of(model, batch), worlds.scores_of(model, batch))


@case
def test_a_snapshot_changes_no_score(ready: tuple[SessionModel, Corpus]) -> None:
    model, corpus = ready
    batch = worlds.events_of(model, corpus)
    before = worlds.scores_of(model, batch)
    if isinstance(model, SessionEncoder):
        with torch.no_grad():
            model.snapshot()
        after = worlds.scores_of(model, batch)
        model.forget_snapshot()
        close(after, before)
    close(worlds.scores_of(model, batch), before)


@case
@pytest.mark.parametrize("user", [0, 3, "unknown"])
@pytest.mark.parametrize("items", [[], [2], [11], [2, 2], [11, 0]])
@pytest.mark.parametrize("past", [[], [1, 1, 4]])
def test_any_request_gets_finite_scores(
    ready: tuple[SessionModel, Corpus], user: int | str, items: list[int], past: list[int]
) -> None:  # T4; item 11 occurs nowhere, so it has no neighbours
    model, corpus = ready
    number = corpus.n_users if user == "unknown" else int(user)
    scores = worlds.scores_of(model, worlds.request_of(model, items, number, past))
    assert scores.shape == (1, corpus.n_items)
    assert torch.isfinite(scores).all()


@case
def test_a_log_of_one_user_will_do(name: str, preset: str) -> None:  # T4
    corpus = worlds.corpus_of([[[0, 1], [1, 2, 0], [0, 2, 1]]], [[TRAIN, TRAIN, TEST]], n_items=4)
    model = worlds.fitted(worlds.small(name, preset), corpus)
    worlds.train(model, corpus, epochs=2)
    assert torch.isfinite(worlds.scores_of(model, worlds.events_of(model, corpus))).all()


@case
def test_a_served_request_equals_the_batch(ready: tuple[SessionModel, Corpus]) -> None:
    model, corpus = ready
    for policy in ("frozen", "rolling"):
        batch = worlds.events_of(model, corpus, policy=policy)
        wanted = worlds.scores_of(model, batch)
        for event in range(len(batch)):
            served = _as_request(model, batch, event)
            close(worlds.scores_of(model, served)[0], wanted[event])


def _as_request(model: SessionModel, batch: Batch, event: int) -> Batch:
    row = int(batch.row[event])
    past = slice(*batch.past[row].tolist())
    begins = np.flatnonzero(batch.store.begins[past].numpy())
    offsets = np.append(begins, past.stop - past.start)
    history = Past(batch.store.items[past].numpy(), batch.store.times[past].numpy(), offsets)
    prefix = batch.items[row, : int(batch.position[event]) + 1].numpy()
    user, time, fresh = int(batch.user[row]), int(batch.time[event]), bool(batch.fresh[row])
    return request(prefix, user, time, history, model.config.window.length, fresh=fresh)


@case
def test_parts_sum_to_the_score(ready: tuple[SessionModel, Corpus]) -> None:
    model, corpus = ready
    items = torch.tensor([3, 0, 11, 7])
    batches = list(worlds.events_singly(model, corpus, corpus.select(TEST)))
    for batch in [*batches, worlds.request_of(model, []), worlds.request_of(model, [4, 0, 4], 2, [1, 1])]:
        with torch.no_grad():
            parts = model.parts(batch, items)
        assert all(part.shape == (len(items), int(batch.position[0]) + 1) for part in parts.session.values())
        assert all(part.shape == (len(items),) for part in parts.user.values())
        wanted = worlds.scores_of(model, batch)[0, items]
        torch.testing.assert_close(parts.total(), wanted, rtol=1e-4, atol=1e-4, check_dtype=False)


@case
def test_what_is_stored_gives_the_same_scores(name: str, preset: str) -> None:  # T10
    model, corpus = _ready(name, preset)
    arrays = model.arrays()
    assert all(isinstance(array, Tensor) for array in arrays.values())
    torch.manual_seed(99)
    copy = models.build(models.with_preset(worlds.small(name, preset)))
    copy.restore({key: array.clone() for key, array in arrays.items()}, corpus.n_items, corpus.n_users)
    if isinstance(copy, SessionEncoder):
        copy.eval()
    batch = worlds.events_of(model, corpus)
    assert torch.equal(worlds.scores_of(copy, batch), worlds.scores_of(model, batch))
    assert (copy.n_items, copy.n_users) == (corpus.n_items, corpus.n_users)


@case
def test_the_same_seed_gives_the_same_scores(name: str, preset: str) -> None:
    corpus = worlds.busy()
    runs = []
    for _ in range(2):
        model = worlds.fitted(worlds.small(name, preset), corpus, seed=5)
        worlds.train(model, corpus, epochs=1)
        runs.append(worlds.scores_of(model, worlds.events_of(model, corpus)))
    assert torch.equal(*runs)


@case
def test_rows_of_sessions_and_rows_of_events_agree(ready: tuple[SessionModel, Corpus]) -> None:
    model, corpus = ready
    whole = worlds.events_of(model, corpus, corpus.train)
    (single,) = Loader(corpus, corpus.train, model.config.window.length, shuffle="events").batches(10**9)
    assert torch.equal(single.target, whole.target)
    close(worlds.scores_of(model, single), worlds.scores_of(model, whole))


@case
def test_renumbering_items_renumbers_the_scores_only(name: str, preset: str) -> None:  # T11
    corpus = worlds.busy()
    renumbered = np.random.default_rng(6).permutation(corpus.n_items)
    items = renumbered[corpus.sessions.items].astype(np.int32)
    other = replace(corpus, sessions=replace(corpus.sessions, items=items))
    one, two = (worlds.fitted(worlds.small(name, preset), world) for world in (corpus, other))
    if isinstance(one, SessionEncoder) and isinstance(two, SessionEncoder):
        worlds.train(one, corpus, epochs=2)
        two.eval()
        _take_over(two, one, torch.from_numpy(renumbered))
    scores, others = (
        worlds.scores_of(model, worlds.events_of(model, world)) for model, world in ((one, corpus), (two, other))
    )
    close(others[:, torch.from_numpy(renumbered)], scores)


def _take_over(model: SessionEncoder, learned: SessionEncoder, renumbered: Tensor) -> None:
    """The parameters of `learned`, a row of an item's going where the item has gone, and what its norms have seen."""
    found = dict(learned.named_parameters())
    with torch.no_grad():
        for norm, seen in zip(model.modules(), learned.modules(), strict=True):
            if isinstance(norm, torch.nn.BatchNorm1d):
                norm.load_state_dict(seen.state_dict())
        for name, parameter in model.named_parameters():
            if parameter.shape[0] == len(renumbered):
                parameter.index_copy_(0, renumbered, found[name])
            else:
                parameter.copy_(found[name])


@counting_case
def test_an_item_of_test_alone_ranks_above_nothing(name: str, preset: str) -> None:
    corpus = worlds.leak()
    model = worlds.fitted(worlds.small(name, preset), corpus)
    scores = worlds.scores_of(model, worlds.events_of(model, corpus))
    assert torch.equal(scores[:, 5], scores.amin(1))


@case
def test_the_cycle_is_learned(name: str, preset: str) -> None:
    if models.load(name).order_blind:
        pytest.skip("it does not look at order")
    corpus = worlds.cycle()
    model = worlds.fitted(worlds.small(name, preset), corpus)
    worlds.train(model, corpus, epochs=30)
    assert worlds.hit_rate(model, corpus, 1) >= 0.9


@case
def test_noise_is_not_beaten(name: str, preset: str) -> None:
    corpus = worlds.noise()
    model = worlds.fitted(worlds.small(name, preset), corpus)
    worlds.train(model, corpus, epochs=3)
    by_chance, events = 10 / corpus.n_items, len(worlds.events_of(model, corpus))
    assert worlds.hit_rate(model, corpus, 10) < by_chance + 5 * (by_chance * (1 - by_chance) / events) ** 0.5
