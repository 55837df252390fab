"""A replay is the server's path: without live counts on a model's test part it gives what evaluation gives."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import runs
import small_logs

from segue.data.batches import HistoryPolicy
from segue.data.corpus import Part
from segue.errors import ArtifactError
from segue.pipeline.measurement import evaluate_model
from segue.pipeline.stages import Options
from segue.replay.events import Stream, of_log, of_test_part
from segue.replay.run import Replay, play
from segue.server.engine import Engine
from segue.server.store.event import Event
from segue.settings import Nested

_DAY = 86_400_000


@cache
def _home() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="segue-tests-")


@cache
def restless() -> Path:
    """A log without rules and with repeats, pauses within sessions, and anonymous sessions, which nobody can predict
    well: ranks of every size."""
    random = np.random.default_rng(5)
    popularity = 1 / np.arange(1, 61)
    rows, time = [], 1_700_000_000_000
    for visit in range(500):
        user = f"u{random.integers(25)}"
        start = time + visit * _DAY // 8
        for place, item in enumerate(random.choice(60, random.integers(1, 14), p=popularity / popularity.sum())):
            rows.append((user, f"i{item}", start + place * int(random.integers(1, 90_000)), f"s{visit}"))
    path = Path(_home().name) / "restless.csv"
    return small_logs.write_csv(path, rows, ("user_id", "item_id", "timestamp", "session_id"))


@cache
def model(preset: str, protocol: str) -> Path:
    """A model on that log, split in that way."""
    settings: Nested = small_logs.with_settings(
        split={"protocol": protocol}, model={"name": "hg_gnn", "preset": preset, "memory_items": 8}
    )
    if preset == "v_sknn":
        settings = {**settings, "model": {"name": "session_knn", "preset": preset}}
    corpus, folder = (Path(_home().name) / f"{name}-{preset}-{protocol}" for name in ("corpus", "model"))
    runs.prepare(str(restless()), corpus, settings)
    return runs.train(corpus, folder, settings)


def frozen(folder: Path, history: HistoryPolicy = "frozen") -> Replay:
    engine = Engine(folder)
    return play(engine, of_test_part(engine.recommender.artifact, with_validation=False), history=history)


@pytest.mark.parametrize("preset", ["memory", "segue", "paper", "v_sknn"])
@pytest.mark.parametrize("protocol", ["user_80_20", "global_time"])
def test_frozen_on_its_test_part_a_model_gets_the_figures_of_its_evaluation(preset: str, protocol: str) -> None:
    folder = model(preset, protocol)
    evaluated = evaluate_model(folder, part=Part.TEST, history="frozen")
    played = frozen(folder)
    assert len(played.rank) > 300
    assert played.masked == evaluated.masked
    assert played.as_dict()["metrics"] == dict(evaluated.measurement().metrics)  # to the last digit
    assert 0.02 < played.as_dict()["metrics"]["HR@5"] < 0.98


def test_a_replay_changes_nothing_of_a_model_and_can_be_repeated() -> None:
    folder = model("memory", "global_time")
    engine = Engine(folder, live=True)
    stream = of_test_part(engine.recommender.artifact, with_validation=True)
    first = play(engine, stream)
    second = play(Engine(folder, live=True), stream)
    assert first.rank.tolist() == second.rank.tolist()
    assert first.rank.tolist() != frozen(folder, "rolling").rank.tolist()


def trend() -> Stream:
    """A day after training a new item, and a new habit: whoever takes first1 takes `hit`."""
    start = 1_700_000_000_000 + 200 * _DAY
    pairs = [
        (f"t{n}", item, start + 600_000 * n + 1000 * k) for n in range(12) for k, item in enumerate(("first1", "hit"))
    ]
    events = [Event(session, item, time, f"new{session}") for session, item, time in pairs]
    every = np.ones(len(events), dtype=np.bool_)
    return Stream("a trend", events, every, np.arange(len(events)))


def test_live_counts_learn_a_new_item_from_its_first_session_on() -> None:
    folder = small_logs.fitted_model()
    live, kept = (play(Engine(folder, live=which), trend()) for which in (True, False))
    assert (len(live.rank), len(kept.rank)) == (12, 12)
    assert (live.unknown, kept.unknown) == (1, 12)
    assert live.rank[0] > 20
    assert live.rank[11] <= live.rank[1:].min() <= 20
    assert kept.rank.min() > 20


def test_a_replay_that_learns_measures_before_it_learns_and_what_was_learned_serves_another_engine(
    tmp_path: Path,
) -> None:
    folder = model("memory", "global_time")
    engine = Engine(folder, live=True)
    stream = of_test_part(engine.recommender.artifact, with_validation=False)
    plain = play(Engine(folder, live=True), stream)
    learning = play(engine, stream, learn=True)
    assert engine.live is not None
    weights = engine.live.live.weights
    assert weights.events == len(learning.rank) - learning.unknown > 100
    order = np.argsort(learning.time, kind="stable")
    assert learning.rank[order[0]] == plain.rank[order[0]]  # nothing was learned before the first
    assert learning.rank.tolist() != plain.rank.tolist()
    file = tmp_path / "weights.json"
    file.write_text(json.dumps(weights.as_dict()))
    assert play(Engine(folder, live=True, live_weights=file), stream).rank.tolist() != plain.rank.tolist()


def test_rows_that_are_no_events_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [("a", "i1", 1_800_000_000_000), ("a", "", 1_800_000_001_000), ("a", "i2", 1_800_000_002_000)]
    rows += [("", "i3", 1_800_000_003_000), ("b", "i2", "soon"), ("a", "i3", 1_800_000_004_000)]  # type: ignore[list-item]
    log = small_logs.write_csv(tmp_path / "log.csv", rows)
    engine = Engine(model("memory", "global_time"))
    played = play(engine, of_log(str(log), engine.settings))
    assert (played.events, len(played.rank)) == (3, 2)
    assert sum(played.dropped.values()) == 3
    assert played.as_dict()["dropped"] == played.dropped


def test_a_model_that_was_trained_on_its_test_part_is_refused(tmp_path: Path) -> None:
    folder = runs.fit(str(small_logs.log()), tmp_path / "final", small_logs.SMALL, Options(final=True))
    with pytest.raises(ArtifactError, match="was trained on the test part too; replay a log of later events"):
        of_test_part(Engine(folder).recommender.artifact, with_validation=False)
