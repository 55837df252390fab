"""What live events teach: the slope is that of the loss, learning lowers it, explanations still sum to the score."""

from __future__ import annotations

import json
from pathlib import Path

import live_worlds
import numpy as np
import pytest
from live_worlds import ITEMS
from worlds import BEGINNING, DAY

from segue.errors import ConfigError
from segue.lean.live.model import LiveHGGNN
from segue.lean.live.weights import LiveWeights
from segue.lean.request import Asked, Past

PRESETS = ("segue", "memory")


def live(preset: str) -> LiveHGGNN:
    """A model with the later sessions counted, and a new item that has come twice."""
    world = live_worlds.world(preset)
    found = LiveHGGNN(live_worlds.lean(world.model), world.corpus.train)
    live_worlds.add(found, world.later)
    found.add([1, ITEMS])
    found.add([ITEMS, 2])
    return found


def asked(*items: int) -> Asked:
    past = Past(np.array([3, 4, 5]), np.array([BEGINNING] * 3), np.array([0, 3]))
    time = int(live_worlds.world().later.times.max()) + DAY
    return Asked(np.array(items), 0, time, past, True)


def loss(model: LiveHGGNN, values: np.ndarray, request: Asked, target: int) -> float:
    """-log p(target): scores are log p but for a constant."""
    weights = LiveWeights(model.options)
    weights.values = values
    model.weigh(weights)
    scores = model.score([request]).scores[0].astype(np.float64)
    return float(np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[target])


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("items", "target"), [((1, 2), 0), ((9, 0, 4), 7), ((1, ITEMS), 2), ((3, 1), ITEMS)])
def test_the_slope_is_that_of_the_loss(preset: str, items: tuple[int, ...], target: int) -> None:
    model, request = live(preset), asked(*items)
    at = LiveWeights(model.options)
    at.values = np.random.default_rng(1).normal(0, 0.3, len(at.names))
    model.weigh(at)
    found = at.slope(model.score([request]), target)
    for place, name in enumerate(at.names):
        step = np.zeros(len(at.names))
        step[place] = 0.02
        differences = [loss(model, at.values + sign * step, request, target) for sign in (1, -1)]
        assert found[place] == pytest.approx((differences[0] - differences[1]) / 0.04, abs=2e-3), name
    assert np.count_nonzero(np.abs(found) > 0.01) > 5


@pytest.mark.parametrize("preset", PRESETS)
def test_learning_lowers_the_loss_and_nothing_learned_changes_nothing(preset: str) -> None:
    model, pairs = live(preset), [(asked(1, 2), 0), (asked(9, 0), 3), (asked(4), 30)]
    stored = model.score([request for request, _ in pairs]).scores
    model.weigh(LiveWeights(model.options))
    np.testing.assert_array_equal(model.score([request for request, _ in pairs]).scores, stored)
    before = sum(loss(model, np.zeros(len(model.weights.names)), *pair) for pair in pairs)
    model.weigh(LiveWeights(model.options))
    for _ in range(40):
        for request, target in pairs:
            model.learn(model.score([request]), target)
    assert model.weights.events == 120
    assert sum(loss(model, model.weights.values.copy(), *pair) for pair in pairs) < before - 0.3


@pytest.mark.parametrize("preset", PRESETS)
def test_the_parts_of_a_score_sum_to_it_with_weights_that_were_learned(preset: str) -> None:
    model, request = live(preset), asked(1, ITEMS)
    learned = LiveWeights(model.options)
    learned.values = np.random.default_rng(2).normal(0, 0.5, len(learned.names))
    model.weigh(learned)
    scored, items = model.score([request]), np.array([0, 2, 9, ITEMS])
    parts = scored.parts(0, items)
    np.testing.assert_allclose(parts.total(), scored.scores[0, items], rtol=1e-4, atol=1e-4)


def test_what_was_learned_is_read_as_it_was_written(tmp_path: Path) -> None:
    model = live("segue")
    model.learn(model.score([asked(1, 2)]), 0)
    file = tmp_path / "weights.json"
    file.write_text(json.dumps(model.weights.as_dict()))
    found = LiveWeights.read(file, model.options)
    assert (found.values.tolist(), found.events) == (model.weights.values.tolist(), 1)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda found: found.update(format="other"), "it has format 'other'"),
        (lambda found: found.pop("weights"), "it lacks weights or events"),
        (lambda found: found.update(events="many"), "it lacks weights or events"),
        (lambda found: found["weights"].pop("vectors"), "'vectors' is in one of them alone"),
        (lambda found: found["weights"].update(more=1.0), "'more' is in one of them alone"),
        (lambda found: found["weights"].update(vectors=1e9), "a weight is no number between -20 and 20"),
        (lambda found: found["weights"].update(vectors=True), "a weight is no number between -20 and 20"),
        (lambda found: found["weights"].update(vectors=float("nan")), "NaN"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_line(change, why: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    options = live_worlds.lean(live_worlds.world("segue").model).options
    stored = LiveWeights(options).as_dict()
    change(stored)
    file = tmp_path / "weights.json"
    file.write_text(json.dumps(stored))
    with pytest.raises(ConfigError, match="cannot be used") as found:
        LiveWeights.read(file, options)
    assert why in str(found.value)
    assert "\n" not in str(found.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    options = live_worlds.lean(live_worlds.world("segue").model).options
    with pytest.raises(ConfigError, match=r"missing\.json cannot be used \(.*; make them with segue replay"):
        LiveWeights.read(tmp_path / "missing.json", options)
