"""Preset `authors-code` against what it says it computes, written out node by node; and each of its switches."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import worlds
from torch import Tensor

from segue.data.batches import Batch
from segue.data.corpus import Corpus
from segue.data.loader import Loader
from segue.graph.tables import ITEM, USER
from segue.models.hg_gnn import HGGNN
from segue.models.hg_gnn.session_encoder import PersonalisedSessionEncoder


def model_of(corpus: Corpus, preset: str = "authors-code", **options: Any) -> HGGNN:
    """In double precision, with weights that nothing starts at, and nothing drawn while training."""
    overrides = worlds.small("hg_gnn", preset)
    overrides["model"] |= {"mask_users": 0.0, **options}
    model = worlds.fitted(overrides, corpus)
    assert isinstance(model, HGGNN)
    torch.manual_seed(11)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.double().eval()


def refined(model: HGGNN, corpus: Corpus) -> tuple[Tensor, Tensor]:
    """(h + e) / 2 of items and users, from a dense matrix of edge counts filled event by event."""
    n_items, train = corpus.n_items, corpus.train
    e = torch.cat([model.hgnn.embedding[ITEM], model.hgnn.embedding[USER]]).detach()
    edges = torch.eye(len(e), dtype=torch.float64)
    for session in range(len(train)):
        items = train.items[train.offsets[session] : train.offsets[session + 1]].tolist()
        user = n_items + int(train.user[session])
        for one, other in [*pairwise(items), *((item, user) for item in items)]:
            if one != other:
                edges[one, other] += 1
                edges[other, one] += 1
    mean = edges @ e / edges.sum(1, keepdim=True)
    linear = model.hgnn.layers[0].weight
    h = torch.relu(torch.cat([mean, e], 1) @ linear.weight.t() + linear.bias)
    x = ((h + e) / 2).detach()
    return x[:n_items], x[n_items:]


def literal_session(encoder: PersonalisedSessionEncoder, p: Tensor, q: Tensor, items: list[int]) -> Tensor:
    """One prefix: raw weights over tanh layers, both sums over the item vectors, a gate of one number."""
    length = len(items)
    mean = p[items].mean(0)
    current, general = torch.zeros_like(mean), torch.zeros_like(mean)
    for i, item in enumerate(items):
        placed = torch.tanh(encoder.w_c.weight @ torch.cat([p[item], encoder.position.weight[length - 1 - i]]))
        inner = encoder.w_0.weight @ placed + encoder.w_1.weight @ mean + encoder.w_1.bias
        current = current + (encoder.v_0.weight[0] @ torch.sigmoid(inner)) * p[item]
        inner = (
            encoder.w_2.weight @ torch.tanh(encoder.w_g.weight @ p[item]) + encoder.w_2.bias + encoder.w_3.weight @ q
        )
        general = general + (encoder.v_1.weight[0] @ torch.sigmoid(inner)) * p[item]
    gate = torch.sigmoid(encoder.w_s.weight[0] @ torch.cat([current, general]) + encoder.w_s.bias[0])
    return q + gate * current + (1 - gate) * general


def test_scores_and_loss_are_those_of_the_published_code() -> None:
    corpus = worlds.busy()
    model = model_of(corpus)
    p, q = refined(model, corpus)
    (batch,) = Loader(corpus, corpus.train, model.config.window.length).batches(10**9)
    sessions = []
    for row, position in zip(batch.row.tolist(), batch.position.tolist(), strict=True):
        prefix = batch.items[row, : position + 1].tolist()
        sessions.append(literal_session(model.encoder, p, q[int(batch.user[row])], prefix))
    vectors = torch.stack(sessions).detach()
    items, users = model.hgnn.embedding[ITEM].detach(), model.hgnn.embedding[USER].detach()
    torch.testing.assert_close(worlds.scores_of(model, batch), vectors @ items.t(), rtol=1e-10, atol=1e-10)
    classes = torch.cat([items, users[: corpus.n_users]])
    wanted = torch.nn.functional.cross_entropy(vectors @ classes.t(), batch.target)
    torch.testing.assert_close(model.loss(batch).detach(), wanted, rtol=1e-10, atol=1e-10)


def test_its_graph_holds_every_transition_and_event_both_ways() -> None:
    corpus = worlds.busy()
    graph, train = model_of(corpus).graph, corpus.train
    assert set(graph.csr) == {"adjacent_in", "adjacent_out", "interact", "interacted_by"}
    inside = np.diff(train.offsets).sum() - len(train)
    repeats = sum(int((np.diff(train.items[a:b]) == 0).sum()) for a, b in pairwise(train.offsets))
    assert graph.csr["adjacent_in"].n_edges == graph.csr["adjacent_out"].n_edges == inside - repeats
    assert graph.csr["interact"].n_edges == graph.csr["interacted_by"].n_edges == len(train.items)


def test_a_user_told_by_their_train_items_is_the_user_of_the_graph() -> None:
    """Parallel edges count in a history too."""
    corpus = worlds.busy()
    model = model_of(corpus)
    for user in range(corpus.n_users):
        own = corpus.train.take(np.flatnonzero(corpus.train.user == user)).items.tolist()
        assert len(set(own)) < len(own)
        told = worlds.request_of(model, [5], user, own)
        of_graph = replace(told, fresh=torch.tensor([False]))
        q, wanted = (model._nodes(batch, batch.prefixes())[2] for batch in (told, of_graph))
        torch.testing.assert_close(q, wanted, rtol=0, atol=1e-12)


def test_only_the_loss_knows_users_as_classes() -> None:
    corpus = worlds.busy()
    with_users, without = model_of(corpus), model_of(corpus, user_classes=False)
    (batch,) = Loader(corpus, corpus.train, 10).batches(10**9)
    assert torch.equal(worlds.scores_of(with_users, batch), worlds.scores_of(without, batch))
    assert float(with_users.loss(batch).detach()) > float(without.loss(batch).detach()), "more classes, the same target"
    assert with_users.item_vectors().shape == (corpus.n_items, 16)


@pytest.mark.parametrize("preset", ["paper", "segue"])
@pytest.mark.parametrize("options", [{}, {"general_preference": False, "layers": 0}, {"user_nodes": False}])
def test_user_classes_in_any_configuration(preset: str, options: dict[str, Any]) -> None:
    """The users' logits have no popularity, and nothing but the loss changes."""
    corpus = worlds.busy()
    model = model_of(corpus, preset, user_classes=True, pointer=[], **options)
    (batch,) = Loader(corpus, corpus.train, model.config.window.length).batches(10**9)
    with torch.no_grad():
        scores, vectors = model.scores(batch), model.encode(batch).vectors[:, :16]
        logits = torch.cat([scores, vectors @ model.hgnn.embedding[USER][: corpus.n_users].t()], 1)
    wanted = torch.nn.functional.cross_entropy(logits, batch.target)
    torch.testing.assert_close(model.loss(batch).detach(), wanted, rtol=1e-10, atol=1e-10)


def empty_and_one(model: HGGNN, user: int) -> list[Batch]:
    return [worlds.request_of(model, items, user) for items in ([], [4])]


@pytest.mark.parametrize("layers", [0, 1])
def test_the_user_vector_is_added_to_the_session(layers: int) -> None:
    corpus = worlds.busy()
    model, plain = (model_of(corpus, "paper", layers=layers, add_user=on) for on in (True, False))
    plain.load_state_dict(model.state_dict())
    for batch in empty_and_one(model, 2):
        q = model._nodes(batch, batch.prefixes())[2].detach()
        more = q @ model.item_vectors().detach().t()
        torch.testing.assert_close(worlds.scores_of(model, batch), worlds.scores_of(plain, batch) + more)
        with torch.no_grad():
            parts = model.parts(batch, torch.arange(12))
        torch.testing.assert_close(parts.user["add_user"], more[0])


def test_added_to_what_no_user_node_refines_it_is_the_plain_user_vector() -> None:
    corpus = worlds.busy()
    model = model_of(corpus, "paper", user_nodes=False, add_user=True)
    batch = worlds.request_of(model, [], 3)
    wanted = model.hgnn.embedding[USER][3] @ model.item_vectors().t()
    torch.testing.assert_close(worlds.scores_of(model, batch)[0], wanted.detach())


SWITCHES: list[tuple[dict[str, Any], int]] = [
    # Beside the parameters of `paper` at d = 16: one W_r and b_r in place of five; w_g; one row and a bias for w_s.
    ({"homogeneous": True}, -4 * (2 * 16**2 + 16)),
    ({"multiplicity": True}, 0),
    ({"hidden": "tanh"}, 16**2),
    ({"attention": "raw"}, 0),
    ({"gate": "scalar"}, 2 * 16 + 1 - 2 * 16**2),
    ({"add_user": True}, 0),
    ({"user_classes": True}, 0),
]


@pytest.mark.parametrize(("options", "more"), SWITCHES)
def test_every_switch_has_its_own_parameters_and_changes_the_loss(options: dict[str, Any], more: int) -> None:
    corpus = worlds.busy()
    paper, model = model_of(corpus, "paper"), model_of(corpus, "paper", **options)
    count, other = (sum(p.numel() for p in m.parameters()) for m in (paper, model))
    assert other - count == more
    (batch,) = Loader(corpus, corpus.train, 20).batches(10**9)
    if not more:
        model.load_state_dict(paper.state_dict())
    assert not torch.allclose(model.loss(batch), paper.loss(batch))
