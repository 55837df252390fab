"""Any log that leaves a corpus leaves a sound one, and a ledger that adds up."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_corpora import MINUTE, START, log_of, small

from segue.data.corpus import Corpus, Part, load
from segue.data.preparation.prepare import prepare
from segue.errors import CorpusError

events = st.lists(
    st.tuples(st.sampled_from(["u", "v", "w", "é"]), st.sampled_from("abcdef"), st.integers(0, 20_000)),
    min_size=40,
    max_size=200,
    unique_by=lambda row: (row[0], row[2]),
)


wishes = st.fixed_dictionaries(
    {
        "sessions": st.fixed_dictionaries(
            {"keep": st.sampled_from(["last", "first", "drop"]), "max_length": st.integers(2, 8), "gap": st.just("2h")}
        ),
        "filters": st.fixed_dictionaries(
            {"min_item_support": st.integers(1, 4), "rare_users": st.sampled_from(["drop", "train"])}
        ),
        "split": st.fixed_dictionaries(
            {
                "protocol": st.sampled_from(["user_80_20", "global_time"]),
                "test": st.sampled_from([0.1, 0.2, 0.5]),
                "validation": st.sampled_from([0.1, 0.3]),
            }
        ),
    }
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(rows=events, wish=wishes, seed=st.integers(0, 9))
def test_properties(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int]], wish: dict[str, Any], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("property")
    try:
        manifest = prepare(log_of(rows), folder / "one", small(**wish))
    except CorpusError:
        assert not list(folder.iterdir())
        return
    corpus = load(folder / "one")
    _assert_order_and_parts(corpus, wish["split"]["protocol"])
    _assert_account(manifest, corpus, rows)
    shuffled = random.Random(seed).sample(rows, len(rows))
    again = prepare(log_of(shuffled), folder / "two", small(**wish))
    assert again["fingerprint"] == manifest["fingerprint"]


def _assert_order_and_parts(corpus: Corpus, protocol: str) -> None:
    sessions = corpus.sessions
    starts, ends = sessions.times[sessions.offsets[:-1]], sessions.times[sessions.offsets[1:] - 1]
    assert sessions.number.tolist() == list(range(len(sessions)))
    for s in range(1, len(sessions)):
        same_user = sessions.user[s] == sessions.user[s - 1]
        assert sessions.user[s] >= sessions.user[s - 1]
        assert not same_user or starts[s] > ends[s - 1]
        assert not same_user or corpus.part[s] >= corpus.part[s - 1]
    known = {int(user) for user, part in zip(sessions.user, corpus.part, strict=True) if part != Part.TEST}
    assert set(range(corpus.n_users)) <= known
    if protocol == "global_time":
        assert corpus.manifest["split"]["first_test_end"] is None or (
            corpus.manifest["split"]["last_train_end"] <= corpus.manifest["split"]["first_test_end"]
        )
        assert ends[corpus.part < Part.TEST].max() == corpus.manifest["split"]["last_train_end"]
        assert ends[corpus.part == Part.TRAIN].max() <= ends[corpus.part == Part.VALIDATION].min(initial=2**62)
    fitted = corpus.with_train([Part.TRAIN, Part.VALIDATION]).train
    assert sorted(set(fitted.items.tolist())) == list(range(corpus.n_items))
    assert sorted(corpus.item_ids) == corpus.item_ids
    assert sessions.lengths.min() >= 2


def _assert_account(manifest: dict[str, Any], corpus: Corpus, rows: list[tuple[str, str, int]]) -> None:
    steps = manifest["steps"]
    assert steps[0]["events"] == len(rows)
    assert steps[-1]["events"] == len(corpus.sessions.items)
    assert steps[-1]["sessions"] == len(corpus.sessions)
    assert len(rows) - sum(step["removed_events"] for step in steps) == len(corpus.sessions.items)
    for before, after in pairwise(steps[1:]):
        assert before["sessions"] - after["removed_sessions"] == after["sessions"]
    written = Counter(
        (corpus.user_ids[user], corpus.item_ids[item], int(time))
        for user, item, time in zip(
            corpus.sessions.user.repeat(corpus.sessions.lengths),
            corpus.sessions.items,
            corpus.sessions.times,
            strict=True,
        )
    )
    assert written <= Counter((user, item, START + minute * MINUTE) for user, item, minute in rows)
    assert json.loads(json.dumps(manifest)) == manifest
