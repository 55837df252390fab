"""``segue evaluate --cold``: its figures are those of loops over the log, and the model is not touched."""

from __future__ import annotations

import json
import math
from collections import Counter
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import small_logs
from mistakes import contents

from segue.cli import app as cli
from segue.data.corpus import Part, load
from segue.evaluation.cold import Draw, hold_out
from segue.pipeline.cold import FORMAT, How, measure_cold

DRAW = Draw(users=0.25, items=0.2, seed=3)


@cache
def measured() -> dict[str, Any]:
    return measure_cold(small_logs.counting_model("markov", ""), None, DRAW).as_dict()


def test_the_figures_of_popularity_are_those_of_loops() -> None:
    corpus = load(small_logs.corpus())
    cold = hold_out(corpus, DRAW)
    users = {cold.measuring.user_ids[row] for row in np.flatnonzero(cold.held_users)}
    items = set(np.flatnonzero(cold.held_items).tolist())
    whole = corpus.sessions
    sessions = [
        (corpus.user_ids[user], whole.items[a:b].tolist(), part)
        for user, (a, b), part in zip(whole.user, pairwise(whole.offsets.tolist()), corpus.part, strict=True)
    ]
    counts: Counter[int] = Counter()
    for user, session, part in sessions:
        left = [item for item in session if item not in items]
        if part == Part.TRAIN and user not in users and len(left) > 1:
            counts.update(left)
    ranks: dict[str, list[int]] = {"users_unknown": [], "items": [], "others": []}
    for user, session, part in sessions:
        for place in range(1, len(session)) if part == Part.TEST else ():
            target, seen = session[place], set(session[:place])  # no train session repeats an item: these are masked
            better = sum(counts[i] >= counts[target] for i in range(corpus.n_items) if i not in seen and i != target)
            group = "items" if target in items else "users_unknown" if user in users else "others"
            ranks[group].append(1 + better)
    groups = measured()["groups"]
    for name, found in ranks.items():
        metrics = groups[name]["metrics"]["popularity/global"]
        assert groups[name]["events"] == len(found) > 0
        for k in (5, 10, 20):
            hits = [rank for rank in found if rank <= k]
            assert metrics[f"HR@{k}"] == pytest.approx(len(hits) / len(found))
            assert metrics[f"MRR@{k}"] == pytest.approx(sum(1 / rank for rank in hits) / len(found))
            assert metrics[f"NDCG@{k}"] == pytest.approx(sum(1 / math.log2(rank + 1) for rank in hits) / len(found))
    assert groups["users_live_history"]["events"] == groups["users_unknown"]["events"]


def test_the_shape() -> None:
    found = measured()
    assert found["format"] == FORMAT
    assert list(found) == [
        "format", "split", "protocol", "history", "masked", "corpus_fingerprint", "seed", "shares", "held_out",
        "models", "groups", "notes",
    ]  # fmt: skip
    assert found["models"] == ["markov/first_order", "popularity/global"]
    assert list(found["groups"]) == ["users_unknown", "users_live_history", "items", "others"]
    assert found["groups"]["items"]["metrics"]["markov/first_order"]["HR@20"] == 0
    assert "0.00 for held-out items" in found["notes"][0]
    assert found["held_out"]["users"] == 3


def test_a_model_that_looks_back_answers_held_out_users_otherwise_with_their_history() -> None:
    folder = small_logs.counting_model("popularity", "mixed")
    groups = measure_cold(folder, None, DRAW).as_dict()["groups"]
    unknown, live = (groups[name]["metrics"]["popularity/mixed"] for name in ("users_unknown", "users_live_history"))
    assert live != unknown
    assert (
        groups["users_unknown"]["metrics"]["markov/first_order"]
        == (groups["users_live_history"]["metrics"]["markov/first_order"])
    )


def test_the_model_is_not_touched_and_the_seed_decides() -> None:
    folder = small_logs.counting_model("markov", "")
    before = contents(folder)
    again = measure_cold(folder, small_logs.corpus(), DRAW, How()).as_dict()
    assert again == measured()
    assert contents(folder) == before
    assert measure_cold(folder, None, Draw(0.25, 0.2, seed=4)).groups != measured()["groups"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--cold", "--split", "validation"], "--cold measures the test part: validation chooses the epochs; leave"),
        (["--cold", "--discover", "0.2"], "--cold and --discover do not go together; measure one after the other"),
        (["--cold-users", "0.2"], "--cold-users belongs to --cold; add it"),
        (["--cold", "--cold-items", "1.5"], "--cold-items must be above 0 and below 1, found 1.5"),
        (["--cold", "--cold-seed", "-1"], "--cold-seed must not be negative, found -1"),
        (["--cold", "--cold-users", "0.001"], "--cold-users 0.001 of 12 users in train holds out nothing"),
    ],
)
def test_mistakes_end_in_one_line(options: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["evaluate", str(small_logs.counting_model("markov", "")), *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.replace("\n", " ").startswith(f"segue: {told}")


def test_the_command_prints_json_alone_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--cold", "--cold-users", "0.25", "--cold-items", "0.2", "--cold-seed", "3", "--json"]
    assert cli.run(["evaluate", str(small_logs.counting_model("markov", "")), *asked]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(measured()))
