"""What is left of a corpus is what a preparation without the person gives, and counts add up; on any small log."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
import small_corpora
import worlds
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from worlds import TEST, TRAIN, VALIDATION

from segue.data.corpus import Corpus, load
from segue.errors import CorpusError
from segue.forgetting.corpus import write_corpus
from segue.forgetting.proof import others_stay
from segue.forgetting.remaining import Remaining, remaining
from segue.models.markov import Markov
from segue.settings import Nested

Rows = list[tuple[str, str, int]]
NOTHING_DECIDES: Nested = {
    "sessions": {"gap": "30min", "min_length": 2},
    "filters": {"min_item_support": 1, "min_user_sessions": 1},
    "split": {"test": 0.4, "validation": 0.3},
    "preparation": {"memory_limit": "256MiB"},
}
"""Filters that take nothing, and a split of each user alone: nobody decides what becomes of others."""
visits = st.text("uvwxyz", min_size=2, max_size=4).map(" ".join)
rows = st.fixed_dictionaries(
    {"a": st.lists(visits, min_size=1, max_size=5), **{u: st.lists(visits, max_size=5) for u in "bcd"}}
).map(lambda users: [row for user, own in users.items() for row in small_corpora.visits(user, *own)])
"""Logs of four users, the first of whom is there."""


@contextmanager
def prepared(log: Rows, overrides: Nested) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as home:
        try:
            runs.prepare(small_corpora.log_of(log), Path(home) / "corpus", overrides)
        except CorpusError:  # too few users, or no session that can be train
            assume(False)
        yield Path(home) / "corpus"


def forgot(folder: Path, user: str) -> tuple[Corpus, Remaining, Path]:
    """The corpus, what is left without a user, and the folder in which that is written."""
    whole = load(folder)
    assume(user in whole.user_ids)
    try:
        left = remaining(whole, [whole.user_ids.index(user)])
    except CorpusError:
        assume(False)
    out = folder.with_name("without")
    write_corpus(whole, folder, left, out, folder.with_name("scratch"), 1)
    return whole, left, out


@settings(max_examples=12)
@given(log=rows)
def test_where_nothing_decides_it_is_the_corpus_of_the_log_without_the_person(log: Rows) -> None:
    with prepared(log, NOTHING_DECIDES) as folder, prepared([r for r in log if r[0] != "a"], NOTHING_DECIDES) as other:
        _, _, out = forgot(folder, "a")
        found, expected = load(out), load(other)
        assert small_corpora.readable(found) == small_corpora.readable(expected)
        assert (found.item_ids, found.user_ids) == (expected.item_ids, expected.user_ids)
        assert found.fingerprint == expected.fingerprint
        assert found.manifest["sizes"] == expected.manifest["sizes"]
        assert found.manifest["made_from"] == expected.manifest["made_from"]


@settings(max_examples=12)
@given(log=rows, protocol=st.sampled_from(["user_80_20", "global_time"]), scope=st.sampled_from(["all", "train"]))
def test_whatever_decides_others_keep_their_events_and_parts(log: Rows, protocol: str, scope: str) -> None:
    strict = {"min_item_support": 2, "min_user_sessions": 1, "scope": scope}
    overrides = {**NOTHING_DECIDES, "filters": strict, "split": {"protocol": protocol, "test": 0.4}}
    with prepared(log, overrides) as folder:
        whole, left, out = forgot(folder, "a")
        new = load(out)
        assert others_stay(whole, new, ["a"], left.test_events).holds
        assert "a" not in new.user_ids
        assert new.sessions.number.tolist() == list(range(len(new.sessions)))
        assert len(set(new.item_ids)) == new.n_items == len(left.items)


@settings(max_examples=12)
@given(log=rows)
def test_the_counts_of_all_are_those_of_the_person_and_those_of_the_rest(log: Rows) -> None:
    with prepared(log, NOTHING_DECIDES) as folder:
        whole, left, out = forgot(folder, "a")
        user = whole.user_ids.index("a")
        alone = replace(
            whole,
            part=np.where((whole.sessions.user == user) & (whole.part == TRAIN), np.int8(TRAIN), np.int8(TEST)),
        )
        everybody, theirs, rest = transitions(whole), transitions(alone), transitions(load(out))
        assert np.array_equal((everybody - theirs)[np.ix_(left.items, left.items)], rest)
        assert not (everybody - theirs)[left.gone_items].any()
        assert not (everybody - theirs)[:, left.gone_items].any()


def transitions(corpus: Corpus) -> np.ndarray[Any, Any]:
    """How often each item followed each in train, [items, items]."""
    model = worlds.fitted({"model": {"name": "markov"}}, corpus)
    assert isinstance(model, Markov)
    arrays = {name: array.numpy() for name, array in model.arrays().items()}
    found = np.zeros((corpus.n_items, corpus.n_items))
    source = np.repeat(np.arange(corpus.n_items), np.diff(arrays["offsets"]))
    found[source, arrays["items"]] = arrays["values"]
    return found


def test_an_item_that_others_have_in_test_alone_goes_with_its_events_and_too_short_sessions() -> None:
    users = [[[0, 1], [4, 1]], [[0, 2], [1, 4, 2, 4], [0, 4]], [[2, 1]]]
    corpus = worlds.corpus_of(users, [[TRAIN, TRAIN], [TRAIN, TEST, TEST], [VALIDATION]], n_items=5)
    left = remaining(corpus, [0])
    assert left.gone_items.tolist() == [3, 4]
    assert (left.test_events, left.test_sessions) == (4, 1)
    kept = left.sessions
    assert [kept.items[a:b].tolist() for a, b in zip(kept.offsets, kept.offsets[1:], strict=False)] == [
        [0, 2],
        [1, 2],
        [2, 1],
    ]
    assert kept.user.tolist() == [0, 0, 1]
    assert left.part.tolist() == [TRAIN, TEST, VALIDATION]


def test_a_user_whose_only_session_goes_with_its_items_goes_too() -> None:
    users = [[[0, 1], [3, 3]], [[0, 1], [1, 0]], [[0, 1]], [[3, 3]]]
    corpus = worlds.corpus_of(users, [[TRAIN, TRAIN], [TRAIN, TEST], [TRAIN], [TEST]], n_items=4)
    assert remaining(corpus, [0]).users.tolist() == [1, 2]


def test_what_is_left_must_be_a_corpus() -> None:
    two = worlds.corpus_of([[[0, 1]], [[1, 0]]])
    with pytest.raises(CorpusError, match=r"users: 1, train sessions: 1 would"):
        remaining(two, [0])
    tested = worlds.corpus_of([[[0, 1]], [[1, 0]], [[0, 1]]], [[TRAIN], [VALIDATION], [VALIDATION]])
    with pytest.raises(CorpusError, match="train sessions: 0"):
        remaining(tested, [0])


def test_where_filters_would_now_take_an_item_it_stays(tmp_path: Path) -> None:
    log = [
        *small_corpora.visits("ann", "a b", "a c", "b a"),
        *small_corpora.visits("bob", "b a c", "a b", "a b"),
        *small_corpora.visits("cy", "a b", "b a"),
    ]
    strict = {**NOTHING_DECIDES, "filters": {"min_item_support": 2, "min_user_sessions": 1}}
    runs.prepare(small_corpora.log_of(log), tmp_path / "corpus", strict)
    whole = load(tmp_path / "corpus")
    left = remaining(whole, [whole.user_ids.index("ann")])
    write_corpus(whole, tmp_path / "corpus", left, tmp_path / "new", tmp_path / "scratch", 1)
    assert load(tmp_path / "new").item_ids == ["a", "b", "c"]
    without = [row for row in log if row[0] != "ann"]
    runs.prepare(small_corpora.log_of(without), tmp_path / "other", strict)
    assert load(tmp_path / "other").item_ids == ["a", "b"]


def test_sessions_of_nobody_stay_nobodys(tmp_path: Path) -> None:
    visits = {
        "ann": ["a b", "b a", "a b"],
        "bob": ["a b", "b c", "c a"],
        "tess": ["a b"],
        "": ["c a", "b c"],
        "zoe": ["b a", "c a", "a b"],
    }
    rows = [row for user, own in visits.items() for row in small_corpora.visits(user, *own)]
    log = small_corpora.log_of(rows).append_column("session_id", [[f"{u}{m // 1000}" for u, _, m in rows]])
    overrides = {
        **NOTHING_DECIDES,
        "filters": {"min_item_support": 1, "min_user_sessions": 1, "rare_users": "train", "scope": "train"},
        "columns": {"session_id": "session_id"},
    }
    runs.prepare(log, tmp_path / "corpus", overrides)
    for user in ("ann", "zoe"):
        whole = load(tmp_path / "corpus")
        assert whole.user_ids.count(None) == 2
        left = remaining(whole, [whole.user_ids.index(user)])
        write_corpus(whole, tmp_path / "corpus", left, tmp_path / user, tmp_path / "scratch", 1)
        new = load(tmp_path / user)
        assert new.user_ids == [each for each in whole.user_ids if each != user]
        assert others_stay(whole, new, [user], left.test_events).holds
