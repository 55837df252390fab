"""HG-GNN answers without torch as torch does: every preset, every switch, whoever asks."""

from __future__ import annotations

from functools import cache
from typing import Any

import lean_models
import numpy as np
import pytest
import torch
import worlds
from hypothesis import given, settings
from hypothesis import strategies as st
from lean_models import asked_of, assert_equal, lean_of, requests, switches

from segue.contract.model import SessionModel
from segue.lean.hg_gnn.options import HGGNNOptions
from segue.lean.hg_gnn.past import Histories
from segue.lean.model import Answering
from segue.lean.request import Asked, Past
from segue.models.hg_gnn import HGGNN
from segue.models.hg_gnn.config import HGGNNConfig
from segue.models.hg_gnn.presets import PRESETS


@cache
def trained(preset: str) -> tuple[SessionModel, Answering]:
    model = worlds.fitted(worlds.small("hg_gnn", preset), worlds.busy())
    worlds.train(model, worlds.busy(), epochs=3)
    return model, lean_of(model)


@pytest.mark.parametrize("preset", PRESETS)
@settings(max_examples=25)
@given(asked=st.lists(requests, min_size=1, max_size=4))
def test_every_preset_answers_as_torch_does(preset: str, asked: list[dict[str, Any]]) -> None:
    model, lean = trained(preset)
    assert_equal(model, lean, [asked_of(model, **request) for request in asked])


@settings(max_examples=60)
@given(switches, st.lists(requests, min_size=1, max_size=3))
def test_every_switch_answers_as_torch_does(options: dict[str, Any], asked: list[dict[str, Any]]) -> None:
    options = dict(options)
    options["current_preference"], options["general_preference"] = options.pop("preferences")
    overrides = {"model": {"name": "hg_gnn", "preset": "paper", "dim": 6, "dropout": 0.0, **options}}
    model = worlds.fitted(overrides, worlds.busy())
    with torch.no_grad():
        for parameter in model.parameters():  # type: ignore[attr-defined]
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.eval()  # type: ignore[attr-defined]
    assert_equal(model, lean_of(model), [asked_of(model, **request) for request in asked])


@pytest.mark.parametrize("preset", ["segue", "memory", "authors-code"])
def test_known_users_are_asked_with_what_train_saw_of_them(preset: str) -> None:
    """Click after click: what is kept of a user answers the second request as it did the first."""
    model, lean = trained(preset)
    for _ in range(2):
        for user in range(worlds.busy().n_users):
            past = lean_models.trained_history(user)
            asked = [Asked(np.array(items), user, lean_models.NOW, past, fresh=False) for items in ([3], [3, 1, 3])]
            assert_equal(model, lean, asked)


def test_many_users_are_asked_for_without_end() -> None:
    """More users than are kept: those that were let go are worked out again."""
    histories = Histories(1000)
    past = Past(np.array([1, 2, 2]), np.full(3, lean_models.NOW), np.array([0, 3]))
    of = [histories.of(Asked(np.array([1]), user, 0, past, fresh=False)) for user in range(2000)]
    assert of[0].distinct.tolist() == [1, 2]
    assert histories.of(Asked(np.array([1]), 1999, 0, past, fresh=False)) is of[-1]
    assert histories.of(Asked(np.array([1]), 0, 0, past, fresh=False)) is not of[0]


@given(switches)
def test_the_options_mean_the_same(options: dict[str, Any]) -> None:
    options = dict(options)
    options["current_preference"], options["general_preference"] = options.pop("preferences")
    config = HGGNNConfig.parse(options)
    found = HGGNNOptions.of(config.model_dump(mode="json"))
    assert (found.alphas, found.reads_counts, found.reads_users) == (
        config.alphas, config.reads_counts, config.reads_users,
    )  # fmt: skip


def test_relations_are_those_of_torch() -> None:
    model, lean = trained("paper")
    assert isinstance(model, HGGNN)
    everything = np.arange(model.n_items)
    named = {item: lean.relations_to(item, everything) for item in range(model.n_items)}
    assert named == {item: [model.relation(source, item) for source in range(model.n_items)] for item in named}
    assert len({relation for of_item in named.values() for relation in of_item}) > 2


def test_similar_items_have_similar_vectors() -> None:
    model, lean = trained("paper")
    assert isinstance(model, HGGNN)
    p = torch.nn.functional.normalize(model.derived()["refined.item"], dim=1)
    lean_models.close(lean.similar(3), (p @ p[3]).numpy())


def test_without_vectors_similar_items_share_sessions() -> None:
    found = trained("memory")[1].similar(3)
    companions = found > 0
    assert companions.any()
    assert found[3] == 0
    assert not companions[11]
