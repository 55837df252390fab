"""The synthetic log has the shape it promises, and something to learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from generate import LONGEST, SESSION_GAP, SHORTEST, generate

USERS, ITEMS, SESSIONS, MEAN_LENGTH = 150, 2_000, 6_000, 8.2  # three row groups
SMALL = {"users": USERS, "items": ITEMS, "sessions": SESSIONS, "mean_length": MEAN_LENGTH}


class Log:
    """A written log as arrays [events], with the session each event belongs to."""

    def __init__(self, path: Path) -> None:
        table = pq.read_table(path)
        self.columns = {name: str(table.schema.field(name).type) for name in table.column_names}
        self.user, self.user_ids = _codes(table, "user_id")
        self.item, self.item_ids = _codes(table, "item_id")
        self.time = np.asarray(table.column("timestamp"))
        self.same_user = np.diff(self.user) == 0
        self.inside = self.same_user & (np.diff(self.time) <= SESSION_GAP)
        self.session = np.concatenate([[0], np.cumsum(~self.inside)])
        self.lengths = np.bincount(self.session)


def _codes(table, name):
    column = table.column(name).combine_chunks().dictionary_encode()
    return np.asarray(column.indices), column.dictionary.to_pylist()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    return generate(path, **SMALL), Log(path), path


def test_columns_are_plain_strings_and_whole_seconds(written):
    _, log, _ = written
    assert log.columns == {"user_id": "string", "item_id": "string", "timestamp": "int64"}
    assert log.user_ids[0] == "user_000001"


def test_counts_are_those_of_the_file(written):
    counts, log, _ = written
    assert counts["rows"] == len(log.item)
    assert counts["users"] == len(log.user_ids) == USERS
    assert counts["sessions"] == len(log.lengths) == SESSIONS
    assert counts["items"] == len(log.item_ids)
    assert counts["mean_length"] == pytest.approx(log.lengths.mean())


def test_sessions_have_the_lengths_asked_for(written):
    _, log, _ = written
    assert log.lengths.min() == SHORTEST
    assert log.lengths.max() == LONGEST
    assert log.lengths.mean() == pytest.approx(MEAN_LENGTH, abs=0.2)  # standard error 0.06


def test_every_user_has_five_sessions_or_more(written):
    _, log, _ = written
    opening = np.flatnonzero(np.diff(log.session, prepend=-1))
    assert np.bincount(log.user[opening]).min() >= 5


def test_users_stand_together_and_their_times_rise(written):
    _, log, _ = written
    assert log.same_user.sum() == len(log.user) - USERS
    assert (np.diff(log.time)[log.same_user] > 0).all()


def test_no_item_follows_itself_inside_a_session(written):
    _, log, _ = written
    assert not (np.diff(log.item)[log.inside] == 0).any()


def test_popularity_has_a_head_and_a_tail(written):
    _, log, _ = written
    support = np.sort(np.bincount(log.item))[::-1]
    assert support[: ITEMS // 20].sum() / support.sum() > 0.15  # equal popularity gives 0.10
    assert len(support) > 0.98 * ITEMS


def test_the_last_item_tells_the_next_one(written):
    """The five most frequent followers of an item hold most of its transitions: 0.39 without successors."""
    _, log, _ = written
    following = np.flatnonzero(log.inside)
    now, later = log.item[following], log.item[following + 1]
    assert _share_of_top_five(now, later) > 0.5


def _share_of_top_five(now, later):
    pairs, counts = np.unique(now * ITEMS + later, return_counts=True)
    order = np.lexsort((-counts, pairs // ITEMS))
    first = np.searchsorted(pairs // ITEMS, pairs // ITEMS)
    return counts[order][np.arange(len(pairs)) - first < 5].sum() / counts.sum()


def test_users_have_tastes(written):
    """A user's items are far fewer than if all drew from one pool, where the ratio is 1.00."""
    _, log, _ = written
    shuffled = np.random.default_rng(1).permutation(log.item)
    own, anybodys = (len(np.unique(log.user * ITEMS + item)) for item in (log.item, shuffled))
    assert own < 0.85 * anybodys


def test_equal_arguments_give_equal_logs_and_seeds_differ(written, tmp_path):
    _, log, path = written
    generate(tmp_path / "again.parquet", **SMALL)
    generate(tmp_path / "other.parquet", **SMALL, seed=1)
    assert (tmp_path / "again.parquet").read_bytes() == path.read_bytes()
    other = Log(tmp_path / "other.parquet")
    assert len(other.item) != len(log.item) or (other.item != log.item).any()


def test_scale_multiplies_users_and_sessions_on_the_same_items(tmp_path):
    counts = generate(tmp_path / "log.parquet", users=20, items=300, sessions=400, scale=3)
    assert (counts["users"], counts["sessions"]) == (60, 1_200)
    assert counts["items"] <= 300


@pytest.mark.parametrize("wrong", [{"sessions": 20}, {"items": 1}, {"mean_length": 3.0}, {"mean_length": 25.0}])
def test_impossible_shapes_are_refused_before_anything_is_written(tmp_path, wrong):
    path = tmp_path / "log.parquet"
    with pytest.raises(ValueError, match=r"needs 2 items|mean_length must"):
        generate(path, **{**SMALL, **wrong})
    assert not path.exists()
