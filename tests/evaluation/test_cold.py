"""What is held out leaves no trace in what is trained, and the draw is the seed's."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import worlds
from hypothesis import given
from hypothesis import strategies as st

from segue.data.corpus import Corpus, Part
from segue.data.loader import Loader
from segue.errors import CorpusError
from segue.evaluation import cold
from segue.evaluation.cold import ITEMS, OTHERS, UNKNOWN, Draw, hold_out
from segue.evaluation.slices import events_of

seeds = st.integers(0, 1000)
DRAW = Draw(users=0.4, items=0.3)


def rows_of(corpus: Corpus, parts: tuple[Part, ...]) -> list[tuple[str, int, list[str]]]:
    """User id, start and item ids of each session of some parts."""
    whole, ids = corpus.sessions, corpus.item_ids
    cells = [range(a, b) for a, b in pairwise(whole.offsets.tolist())]
    return [
        (corpus.user_ids[user], int(whole.times[own[0]]), [ids[whole.items[cell]] for cell in own])
        for user, own, part in zip(whole.user.tolist(), cells, corpus.part.tolist(), strict=True)
        if part in parts
    ]


@given(seeds)
def test_the_training_corpus_is_the_log_without_what_is_held_out(seed: int) -> None:
    corpus = worlds.busy()
    found = hold_out(corpus, Draw(0.4, 0.3, seed))
    users = {found.measuring.user_ids[row] for row in np.flatnonzero(found.held_users)}
    items = {corpus.item_ids[item] for item in np.flatnonzero(found.held_items)}
    assert (len(users), len(items)) == (2, round(0.3 * (corpus.item_support > 0).sum()))
    wanted = []
    before = rows_of(corpus, (Part.TRAIN, Part.VALIDATION))
    for user, _, session in before:
        left = [item for item in session if item not in items]
        if user not in users and (len(left) > 1 or left == session):
            wanted.append((user, left))
    got = [(user, session) for user, _, session in rows_of(found.training, (Part.TRAIN, Part.VALIDATION))]
    assert got == wanted
    assert not (found.training.part == Part.TEST).any()
    assert (found.sessions, found.events) == (
        len(before) - len(wanted),
        sum(len(session) for *_, session in before) - sum(len(session) for _, session in wanted),
    )
    known = found.training.user_ids[: found.training.n_users]
    assert known == [user for user in corpus.user_ids[: corpus.n_users] if user not in users]
    assert sorted(rows_of(found.measuring, (Part.TEST,))) == sorted(rows_of(corpus, (Part.TEST,)))


@pytest.mark.parametrize("preset", ["segue", "memory"])
def test_no_array_of_a_model_depends_on_what_is_held_out(preset: str) -> None:
    """The same arrays come of a log in which the held-out users took other things, and of their items nobody did."""
    corpus = worlds.busy()
    found = hold_out(corpus, DRAW)
    gone = np.isin(corpus.sessions.user, np.flatnonzero(held_rows(corpus, found)))
    sessions = corpus.sessions
    items = sessions.items.copy()
    own = np.repeat(gone & (corpus.part != Part.TEST), sessions.lengths)
    items[own] = items[own][::-1]
    others = replace(corpus, sessions=replace(sessions, items=items))
    assert (items != sessions.items).any()
    again = hold_out(others, DRAW)
    assert (again.held_items == found.held_items).all()
    one, other = (worlds.fitted(worlds.small("hg_gnn", preset), each.training).arrays() for each in (found, again))
    assert one.keys() == other.keys()
    assert all(one[name].equal(other[name]) for name in one)
    support = one["recall.support"].numpy()
    assert (support[found.held_items] == 0).all()
    assert (support[~found.held_items] > 0).any()


def held_rows(corpus: Corpus, found: cold.Cold) -> np.ndarray:
    """Whether each user of the corpus as it was is held out."""
    ids = {found.measuring.user_ids[row] for row in np.flatnonzero(found.held_users)}
    return np.array([user in ids for user in corpus.user_ids])


@given(seeds)
def test_every_event_is_in_one_group(seed: int) -> None:
    found = hold_out(worlds.busy(), Draw(0.4, 0.3, seed))
    events = events_of(found.measuring.select(Part.TEST))
    groups = found.groups(events)
    assert set(groups) == {UNKNOWN, ITEMS, OTHERS}
    assert (np.sum(list(groups.values()), axis=0) == 1).all()
    assert (found.held_items[events.target] == groups[ITEMS]).all()
    assert found.held_users[events.user][groups[UNKNOWN]].all()
    assert not found.held_users[events.user][groups[OTHERS]].any()


def test_the_seed_decides() -> None:
    draws = [hold_out(worlds.busy(), Draw(0.4, 0.3, seed)) for seed in (1, 1, 2)]
    same, again, other = ((found.held_items.tolist(), found.training.user_ids) for found in draws)
    assert same == again
    assert same != other
    assert draws[0].training.fingerprint != draws[2].training.fingerprint != worlds.busy().fingerprint


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        (Draw(0.01, 0.3), "--cold-users 0.01 of 6 users in train holds out nothing; choose another share"),
        (Draw(0.99, 0.3), "--cold-users 0.99 of 6 users in train holds out everything; choose another share"),
        (Draw(0.4, 0.01), "--cold-items 0.01 of 11 items in train holds out nothing; choose another share"),
    ],
)
def test_too_little_or_too_much_is_refused(draw: Draw, told: str) -> None:
    with pytest.raises(CorpusError) as refused:
        hold_out(worlds.busy(), draw)
    assert str(refused.value) == told


def test_a_log_of_which_nothing_is_left_is_refused() -> None:
    with pytest.raises(CorpusError, match="nothing is left to train on; lower --cold-users or --cold-items"):
        hold_out(worlds.cycle(), Draw(0.5, 0.9))


def test_the_history_of_held_out_users_is_what_was_withheld() -> None:
    corpus = worlds.busy()
    found = hold_out(corpus, DRAW)
    test = found.measuring.select(Part.TEST)
    held = test.take(np.flatnonzero(found.held_users[test.user]))
    earlier = {
        user: [
            item for each, *_, items in rows_of(corpus, (Part.TRAIN, Part.VALIDATION)) if each == user for item in items
        ]
        for user in corpus.user_ids
    }
    for policy in ("frozen", "rolling"):
        (batch,) = Loader(found.measuring, held, 20, policy=policy).batches(10**6)  # type: ignore[arg-type]
        assert (batch.user == found.measuring.n_users).all()
        assert batch.fresh.all()
        for session, (first, last) in zip(batch.session.tolist(), batch.past.tolist(), strict=True):
            user = found.measuring.user_ids[held.user[session]]
            seen = [corpus.item_ids[item] for item in found.measuring.sessions.items[first:last]]
            assert seen == (earlier[user] if policy == "rolling" else [])


def test_without_known_users_items_alone_are_held_out() -> None:
    corpus = worlds.busy()
    sessions = corpus.sessions
    nobody = np.zeros_like(sessions.user)
    anonymous = replace(corpus, users=corpus.users.slice(0, 1), sessions=replace(sessions, user=nobody), n_users=0)
    found = hold_out(anonymous, DRAW)
    assert not found.held_users.any()
    assert found.held_items.any()
    assert found.training.n_users == 0


@pytest.mark.parametrize(("name", "what"), [(UNKNOWN, "user"), (ITEMS, "item")])
def test_a_group_that_test_does_not_ask_about_is_refused(name: str, what: str) -> None:
    groups = {UNKNOWN: np.ones(3, dtype=np.bool_), ITEMS: np.ones(3, dtype=np.bool_)}
    cold.check_measurable(groups, [UNKNOWN, ITEMS])
    with pytest.raises(CorpusError, match=f"no test event is of a held-out {what}; raise --cold-{what}s, or choose"):
        cold.check_measurable({**groups, name: ~groups[name]}, [UNKNOWN, ITEMS])
