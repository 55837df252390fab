"""The whole model: receptive field and snapshot, users it was not fitted on, what the presets can and cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import worlds
from torch import Tensor

from segue import models
from segue.data.batches import Batch, Prefixes
from segue.data.corpus import Corpus
from segue.data.loader import Loader
from segue.graph.hetero import full_field, receptive_field
from segue.graph.tables import ITEM, USER
from segue.models.hg_gnn import HGGNN
from segue.models.hg_gnn import model as hg_gnn_model

PRESETS = ["paper", "segue", "authors-code"]


def settings_of(preset: str, graph: dict[str, Any] | None = None, **options: Any) -> dict[str, dict[str, Any]]:
    overrides = worlds.small("hg_gnn", preset)
    overrides["model"] |= {"mask_users": 0.0, **options}
    return {**overrides, "graph": graph or {}}


def model_of(preset: str, corpus: Corpus, graph: dict[str, Any] | None = None, **options: Any) -> HGGNN:
    model = worlds.fitted(settings_of(preset, graph, **options), corpus)
    assert isinstance(model, HGGNN)
    return model


def randomised(model: HGGNN) -> HGGNN:
    """In double precision, with weights that nothing starts at: no term is switched off by its zeros."""
    torch.manual_seed(11)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.double().eval()


def train_loss(model: HGGNN, corpus: Corpus) -> Tensor:
    (batch,) = Loader(corpus, corpus.train, model.config.window.length).batches(10**9)
    return model.loss(batch)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("layers", "whole_above"), [(1, 1.0), (2, 0.0), (2, 1.0), (3, 0.5)])
def test_receptive_field_equals_full_graph_in_loss_and_gradients(
    preset: str, layers: int, whole_above: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hg_gnn_model, "receptive_field", partial(receptive_field, whole_above=whole_above))
    corpus = worlds.busy()
    model = randomised(model_of(preset, corpus, {"sample_size": 1, "top_k_similar": 1}, layers=layers))
    loader = Loader(corpus, corpus.train, model.config.window.length)
    batches = list(loader.batches(6, (3,)))

    def gradients() -> list[tuple[Tensor, list[Tensor]]]:
        found = []
        for batch in batches:
            loss = model.loss(batch)
            found.append((loss, list(torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True))))
        return found

    def whole_graph(batch: Batch, prefixes: Prefixes) -> tuple[Tensor, Tensor, Tensor]:
        refined = model.hgnn(full_field(model.graph, layers))
        return refined[ITEM], prefixes.items, refined[USER][batch.user][batch.row]

    by_field = gradients()
    monkeypatch.setattr(model, "_nodes", whole_graph)
    for (loss, found), (wanted_loss, wanted) in zip(by_field, gradients(), strict=True):
        torch.testing.assert_close(loss, wanted_loss, rtol=1e-12, atol=1e-12)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_a_snapshot_changes_no_score_for_known_new_and_rolling_users(preset: str, layers: int) -> None:
    corpus = worlds.busy()
    model = randomised(model_of(preset, corpus, layers=layers))
    batches = [worlds.events_of(model, corpus, policy=policy) for policy in ("frozen", "rolling")]
    batches += [worlds.request_of(model, [4, 0], user, past) for user in (2, corpus.n_users) for past in ([], [1, 3])]
    assert any(bool(batch.fresh.any()) for batch in batches)
    assert not all(bool(batch.fresh.all()) for batch in batches)
    before = [worlds.scores_of(model, batch) for batch in batches]
    with torch.no_grad():
        model.snapshot()
    for batch, wanted in zip(batches, before, strict=True):
        torch.testing.assert_close(worlds.scores_of(model, batch), wanted, rtol=1e-9, atol=1e-9)
    if layers:
        assert not torch.allclose(before[-1], before[-2]), "the history of a new user counts"


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_a_user_told_by_their_train_items_is_the_user_of_the_graph(layers: int) -> None:
    corpus = worlds.busy()
    model = randomised(model_of("segue", corpus, layers=layers))
    for user in range(corpus.n_users):
        own = corpus.train.take(np.flatnonzero(corpus.train.user == user)).items.tolist()
        told = worlds.request_of(model, [5], user, own)
        of_graph = replace(told, fresh=torch.tensor([False]))
        q, wanted = (model._nodes(batch, batch.prefixes())[2] for batch in (told, of_graph))
        torch.testing.assert_close(q, wanted, rtol=0, atol=1e-12)
        if layers:
            other = worlds.request_of(model, [5], user, [11])
            assert not torch.allclose(model._nodes(other, other.prefixes())[2], wanted)


def same_for_all(model: HGGNN, items: Sequence[int], users: Sequence[int]) -> bool:
    scores = torch.cat([worlds.scores_of(model, replace_user(model, items, user)) for user in users])
    return torch.allclose(scores, scores[:1].expand_as(scores), rtol=1e-5, atol=1e-5)


def replace_user(model: HGGNN, items: Sequence[int], user: int) -> Batch:
    """The same request from another known user, without a history that the memory could tell them by."""
    return replace(worlds.request_of(model, items, user), fresh=torch.tensor([False]))


def test_with_one_item_paper_gives_every_user_the_same_list_and_segue_does_not() -> None:
    corpus = worlds.two_tastes()
    for preset, same in [("paper", True), ("segue", False)]:
        model = model_of(preset, corpus)
        worlds.train(model, corpus, epochs=30, lr=0.02)
        assert same_for_all(model, [0], [0, 1]) is same
        assert same_for_all(model, [], [0, 1]) is same
        assert not same_for_all(model, [0, 1], [0, 1])


@pytest.mark.parametrize("preset", PRESETS)
def test_two_tastes_are_told_apart_after_two_items(preset: str) -> None:
    corpus = worlds.two_tastes()
    model = model_of(preset, corpus)
    worlds.train(model, corpus, epochs=60, lr=0.02)
    batch = worlds.events_of(model, corpus)
    asked = batch.position == 1
    scores = worlds.scores_of(model, batch)[asked]
    assert scores.argmax(1).tolist() == batch.target[asked].tolist() == [2, 3]


def test_two_tastes_are_one_without_the_user() -> None:
    """The world tells what it should: a model that cannot see the user is stuck at one half."""
    corpus = worlds.two_tastes()
    model = model_of("paper", corpus, user_nodes=False)
    worlds.train(model, corpus, epochs=60, lr=0.02)
    assert same_for_all(model, [0, 1], [0, 1])


@pytest.mark.parametrize("options", [{}, {"user_term": True, "popularity": True, "memory": ["transition", "history"]}])
def test_the_literal_eq_20_equals_its_formula_and_trains(options: dict[str, Any]) -> None:
    corpus = worlds.busy()
    model = model_of("paper", corpus, loss="eq20", **options)
    (batch,) = Loader(corpus, corpus.train, model.config.window.length).batches(10**9)
    double = randomised(model_of("paper", corpus, loss="eq20", **options))
    y = worlds.scores_of(double, batch).softmax(1)
    truth = torch.nn.functional.one_hot(batch.target, corpus.n_items)
    literal = -(truth * y.log() + (1 - truth) * (1 - y).log()).sum(1).mean()
    torch.testing.assert_close(double.loss(batch).detach(), literal, rtol=1e-10, atol=1e-10)
    with torch.no_grad():
        before = model.loss(batch)
    worlds.train(model, corpus, epochs=5)
    assert float(model.loss(batch).detach()) < 0.9 * float(before)


def test_masked_users_teach_the_unknown_row() -> None:
    corpus = worlds.busy()
    rows = {}
    for share in (0.0, 0.999):
        model = model_of("segue", corpus, layers=0, mask_users=share).train()
        train_loss(model, corpus).backward()
        rows[share] = model.hgnn.embedding[USER].grad.abs().sum(1) > 0
    assert rows[0.0].tolist() == [True] * corpus.n_users + [False]
    assert rows[0.999].tolist() == [False] * corpus.n_users + [True]


def test_relations_lead_from_the_session_to_the_recommended_item() -> None:
    corpus = worlds.corpus_of([[[0, 1], [0, 1], [2, 3, 4], [2, 5, 4]]])
    model = model_of("paper", corpus)
    assert model.relation(0, 1) == "adjacent_in", "1 follows 0 in a session"
    assert model.relation(1, 0) == "adjacent_out", "0 comes before 1"
    assert model.relation(2, 4) == model.relation(4, 2) == "similar"
    assert model.relation(0, 4) is None


def with_departments(corpus: Corpus) -> Corpus:
    names = [None if item == 2 else f"d{item % 3}" for item in range(corpus.n_items)]
    return replace(corpus, items=corpus.items.append_column("department", pa.array(names)))


@pytest.mark.parametrize("layers", [1, 2])
def test_attribute_edges_are_learned_and_stored(layers: int) -> None:
    corpus = with_departments(worlds.busy())
    model = model_of("segue", corpus, {"attributes": ["item.department"]}, layers=layers)
    assert model.hgnn.embedding["item:department"].shape == (3, 16)
    before = model.hgnn.embedding["item:department"].detach().clone()
    worlds.train(model, corpus, epochs=2)
    assert not torch.equal(model.hgnn.embedding["item:department"], before)
    copy = models.build(models.with_preset(settings_of("segue", {"attributes": ["item.department"]}, layers=layers)))
    assert isinstance(copy, HGGNN)
    copy.restore(model.arrays(), corpus.n_items, corpus.n_users)
    copy.eval()
    batch = worlds.events_of(model, corpus)
    wanted = worlds.scores_of(model, batch)
    assert torch.equal(worlds.scores_of(copy, batch), wanted)
    with torch.no_grad():
        copy.hgnn.embedding["item:department"].add_(1)
    assert not torch.allclose(worlds.scores_of(copy, batch), wanted)


@pytest.mark.parametrize("preset", PRESETS)
def test_two_trainings_from_one_seed_are_equal_to_the_bit(preset: str) -> None:
    corpus = worlds.busy()
    torch.use_deterministic_algorithms(True)
    try:
        runs = []
        for _ in range(2):
            model = model_of(preset, corpus, dropout=0.5, mask_users=0.2)
            worlds.train(model, corpus, epochs=2)
            runs.append(model.state_dict())
    finally:
        torch.use_deterministic_algorithms(False)
    assert runs[0].keys() == runs[1].keys()
    assert all(torch.equal(runs[0][key], runs[1][key]) for key in runs[0])


@pytest.mark.parametrize("inside", [False, True])
def test_the_graph_section_and_the_memory_limit_reach_the_model_that_builds_a_graph(inside: bool) -> None:
    options = {"name": "reminder", "inner": {"name": "hg_gnn"}} if inside else {"name": "hg_gnn"}
    sections = {"graph": {"sample_size": 3}, "preparation": {"memory_limit": "64MiB"}}
    model = models.build(models.with_preset({"model": options, **sections}))
    model = getattr(model, "inner", model)
    assert isinstance(model, HGGNN)
    assert (model.graph_settings.sample_size, model.preparation.memory_limit) == (3, "64MiB")
