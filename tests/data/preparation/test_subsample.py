"""A subsample of users: chosen by seed, with all their sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import small_logs

from segue.data.corpus import load
from segue.data.preparation.subsample import subsample_corpus, subsample_users


def test_users_are_drawn_by_seed_whatever_their_order() -> None:
    ids = [f"user{number}" for number in range(50)]
    assert subsample_users(ids, 5, 0) == subsample_users(ids[::-1], 5, 0)
    assert subsample_users(ids, 5, 0) != subsample_users(ids, 5, 1)
    assert len(subsample_users(ids, 80, 0)) == 50


def test_a_drawn_corpus_holds_the_sessions_of_its_users(tmp_path: Path) -> None:
    whole = load(small_logs.corpus())
    subsample_corpus(whole, tmp_path / "drawn", 5, seed=0)
    drawn = load(tmp_path / "drawn")
    assert drawn.n_users == 5
    assert sessions_by_user(drawn).items() <= sessions_by_user(whole).items()
    assert drawn.items.column("name").to_pylist() == [
        dict(zip(whole.item_ids, whole.items.column("name").to_pylist(), strict=True))[item] for item in drawn.item_ids
    ]


def sessions_by_user(corpus: Any) -> dict[str, list[tuple[int, list[str]]]]:
    found: dict[str, list[tuple[int, list[str]]]] = {}
    for row, user in enumerate(corpus.sessions.user):
        cells = slice(corpus.sessions.offsets[row], corpus.sessions.offsets[row + 1])
        items = [corpus.item_ids[item] for item in corpus.sessions.items[cells]]
        found.setdefault(corpus.user_ids[user], []).append((int(corpus.part[row]), items))
    return found
