"""Exported graphs give the scores of torch: every preset, every switch, whoever asks, however many together."""

from __future__ import annotations

from functools import cache
from typing import Any

import lean_models
import numpy as np
import onnxruntime as ort
import pytest
import torch
import worlds
from hypothesis import given, settings
from hypothesis import strategies as st
from lean_models import USER, asked_of, requests, sessions, switches
from onnx_models import Exported, close, exported, feed_of, of_torch, same_order

from segue.contract.model import SessionModel
from segue.lean.request import Asked
from segue.models.hg_gnn.presets import PRESETS

empty = st.fixed_dictionaries(
    {"items": st.just([]), "user": USER, "sessions": sessions.filter(lambda each: len(each) > 0)}
)


@cache
def trained(preset: str) -> tuple[SessionModel, Exported]:
    model = worlds.fitted(worlds.small("hg_gnn", preset), worlds.busy())
    worlds.train(model, worlds.busy(), epochs=3)
    return model, exported(model, worlds.busy().train)


def assert_equal(model: SessionModel, graphs: Exported, asked: list[Asked]) -> None:
    for found, each in zip(graphs.scores(feed_of(asked)), asked, strict=True):
        wanted = of_torch(model, each)
        close(found, wanted)
        same_order(found, wanted)


@pytest.mark.parametrize("preset", PRESETS)
@settings(max_examples=25)
@given(asked=st.lists(requests | empty, min_size=1, max_size=5))
def test_every_preset_scores_as_torch_does(preset: str, asked: list[dict[str, Any]]) -> None:
    model, graphs = trained(preset)
    assert_equal(model, graphs, [asked_of(model, **request) for request in asked])


@settings(max_examples=40)
@given(switches, st.lists(requests | empty, min_size=1, max_size=3))
def test_every_switch_scores_as_torch_does(options: dict[str, Any], asked: list[dict[str, Any]]) -> None:
    options = dict(options)
    options["current_preference"], options["general_preference"] = options.pop("preferences")
    overrides = {"model": {"name": "hg_gnn", "preset": "paper", "dim": 6, "dropout": 0.0, **options}}
    model = worlds.fitted(overrides, worlds.busy())
    with torch.no_grad():
        for parameter in model.parameters():  # type: ignore[attr-defined]
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.eval()  # type: ignore[attr-defined]
    assert_equal(model, exported(model, worlds.busy().train), [asked_of(model, **request) for request in asked])


@pytest.mark.parametrize("preset", PRESETS)
def test_known_users_are_asked_with_what_train_saw_of_them(preset: str) -> None:
    model, graphs = trained(preset)
    asked = [
        Asked(np.array(items, dtype=np.int64), user, lean_models.NOW, lean_models.trained_history(user), fresh=False)
        for user in range(worlds.busy().n_users)
        for items in ([3], [3, 1, 3], [])
    ]
    assert_equal(model, graphs, asked)
    assert len({scores.tobytes() for scores in graphs.scores(feed_of(asked))}) > 3


@pytest.mark.parametrize("preset", PRESETS)
def test_a_request_about_nothing_has_no_numbers_and_leaves_others_alone(preset: str) -> None:
    model, graphs = trained(preset)
    nothing, something = asked_of(model, [], 6), asked_of(model, [3, 1], 6, [[2, 2]])
    found = graphs.scores(feed_of([nothing, something, nothing]))
    assert np.isnan(found[[0, 2]]).all()
    close(found[1], of_torch(model, something))


@pytest.mark.parametrize("preset", PRESETS)
def test_numbers_of_no_user_are_unknown_and_numbers_of_no_item_are_refused(preset: str) -> None:
    model, graphs = trained(preset)
    feed = dict(feed_of([asked_of(model, [3, 1], 6)]))
    wanted = graphs.scores(feed)
    for user in (-1, 7, 2**40):
        assert (graphs.scores({**feed, "user": np.array([user])}) == wanted).all()
    for item in (-1, 12):
        with pytest.raises(ort.capi.onnxruntime_pybind11_state.InvalidArgument, match="out of"):
            graphs.scores({**feed, "items": np.array([[3, item]])})


def test_a_session_of_more_than_the_window_is_cut_to_its_end() -> None:
    model, graphs = trained("segue")
    long = np.arange(60) % 11
    feed = dict(feed_of([asked_of(model, long[-20:].tolist(), 2)]))
    wanted = graphs.scores(feed)
    assert (graphs.scores({**feed, "items": long[None], "lengths": np.array([60])}) == wanted).all()
