"""Presets and switches: parameter counts in closed form (T7), and the ablations of Tables 4 and 5."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import worlds

from segue import models
from segue.contract.memory_sources import FACTS, SOURCES
from segue.data.batches import Batch
from segue.data.corpus import Corpus
from segue.data.loader import Loader
from segue.errors import ConfigError
from segue.graph.hetero import full_field
from segue.graph.tables import ITEM, USER
from segue.models.hg_gnn import HGGNN
from segue.models.hg_gnn.config import HGGNNConfig
from segue.models.hg_gnn.presets import POINTED
from segue.settings import GraphSettings

D, LENGTH, LAST = 16, 20, 3
"""Size of embeddings, Window.length, cooccurrence_items: of every model here."""
RELATIONS = GraphSettings().relations
Z = 2 * D + FACTS
"""Numbers in [S ‖ q ‖ x]."""


def model_of(corpus: Corpus, preset: str = "paper", *, graph: dict[str, Any] | None = None, **options: Any) -> HGGNN:
    overrides = worlds.small("hg_gnn", preset)
    overrides["model"] |= options
    model = worlds.fitted({**overrides, "graph": graph or {}}, corpus)
    assert isinstance(model, HGGNN)
    return model


def count(model: HGGNN) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def in_closed_form(n_items: int, n_users: int, layers: int = 1) -> int:
    """Preset `paper`: (V + U + 1 + L) d for the tables, 5 K (2 d² + d) for W_r and b_r, 8 d² + 4 d for the encoder
    (W_c and W_s have 2 d², W_0 to W_3 have d²; b_0, b_1, v_0, v_1 have d)."""
    return (n_items + n_users + 1 + LENGTH) * D + 5 * layers * (2 * D**2 + D) + 8 * D**2 + 4 * D


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return worlds.busy()


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_paper_has_as_many_parameters_as_the_formula(corpus: Corpus, layers: int) -> None:  # T7
    assert count(model_of(corpus, layers=layers)) == in_closed_form(corpus.n_items, corpus.n_users, layers)


TERMS: list[tuple[dict[str, Any], int]] = [
    ({"user_term": True}, D**2 + (Z + 1) * D),
    ({"popularity": True}, Z + 1),
    *(({"memory": [source]}, 2 * (Z + 1)) for source in SOURCES),
    *(({"pointer": [source]}, 2 * (Z + 1)) for source in SOURCES),
    ({"pointer": SOURCES}, (1 + len(SOURCES)) * (Z + 1)),
]


@pytest.mark.parametrize(("options", "more"), TERMS)
def test_every_switch_of_segue_adds_its_own_parameters(corpus: Corpus, options: dict[str, Any], more: int) -> None:
    assert count(model_of(corpus, **options)) == in_closed_form(corpus.n_items, corpus.n_users) + more


def test_segue_is_paper_with_every_switch(corpus: Corpus) -> None:
    added_memory, pointer = 2 * len(SOURCES) * (Z + 1), (1 + len(POINTED)) * (Z + 1)
    more = D**2 + (Z + 1) * D + (Z + 1) + added_memory + pointer
    assert count(model_of(corpus, "segue")) == in_closed_form(corpus.n_items, corpus.n_users) + more


def without(*relations: str) -> dict[str, Any]:
    return {"relations": [relation for relation in RELATIONS if relation not in relations]}


W_R = 2 * D**2 + D
"""One relation in one layer."""
ABLATIONS: dict[str, tuple[dict[str, Any], dict[str, Any], int, int]] = {
    # options of the model, of the graph, messages that reach an item, parameters less than `paper`
    "paper": ({}, {}, 4, 0),
    "no HGNN": ({"layers": 0}, {}, 0, 5 * W_R),
    # Less w_c, w_0, w_1, v_0, b_0, the positions, and w_s.
    "no current preference": ({"current_preference": False}, {}, 4, 6 * D**2 + 2 * D + LENGTH * D),
    # Less w_2, w_3, v_1, b_1, w_s; and nobody asks for a user after the only layer.
    "no general preference": ({"general_preference": False}, {}, 4, 4 * D**2 + 2 * D + W_R),
    # Less both user relations, w_3, and the table of users, whom nothing asks for.
    "no user nodes": ({"user_nodes": False}, {}, 3, 2 * W_R + D**2 + 7 * D),
    "no in": ({}, without("adjacent_in"), 3, W_R),
    "no out": ({}, without("adjacent_out"), 3, W_R),
    "no similar": ({}, without("similar"), 3, W_R),
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_has_no_more_parameters_than_it_uses(corpus: Corpus, name: str) -> None:
    options, graph, _, fewer = ABLATIONS[name]
    assert count(model_of(corpus, graph=graph, **options)) == in_closed_form(corpus.n_items, corpus.n_users) - fewer


COMBINED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "two layers, no general": ({"layers": 2, "general_preference": False}, {}),
    "no layers, no general": ({"layers": 0, "general_preference": False}, {}),
    "no users but the user term": ({"user_nodes": False, "user_term": True}, {}),
    "no users but the memory": ({"user_nodes": False, "memory": SOURCES, "pointer": SOURCES}, {}),
    "no interacted_by, no general": ({"general_preference": False}, without("interacted_by")),
    "attributes": ({"layers": 2}, {"attributes": ["item.kind", "user.town"]}),
    "attributes, no user nodes": ({"user_nodes": False}, {"attributes": ["item.kind", "user.town"]}),
    "no relations": ({}, {"relations": []}),
    "sum": ({"accumulate": "sum", "layer_weights": [0.3, 0.7]}, {}),
    "homogeneous": ({"homogeneous": True, "layers": 2}, {"attributes": ["item.kind", "user.town"]}),
    "homogeneous, no user nodes": ({"homogeneous": True, "user_nodes": False, "add_user": True}, {}),
    "parallel edges": ({"multiplicity": True, "add_user": True, "layers": 2}, {}),
    "readings of the encoder": ({"hidden": "tanh", "attention": "raw", "gate": "scalar", "add_user": True}, {}),
    "users as classes alone": ({"user_classes": True, "user_nodes": False}, {}),
}


def with_attributes(corpus: Corpus) -> Corpus:
    kinds, towns = (
        pa.array([f"k{i % 3}" for i in range(corpus.n_items)]),
        pa.array(["x", "y", None, "x", "z", "y", "x"]),
    )
    items, users = corpus.items.append_column("kind", kinds), corpus.users.append_column("town", towns)
    return replace(corpus, items=items, users=users)


def batches_of(model: HGGNN, corpus: Corpus) -> Iterator[Batch]:
    loader = Loader(corpus, corpus.train, model.config.window.length)
    return (batch for epoch in range(4) for batch in loader.batches(24, (epoch,)))


@pytest.mark.parametrize("preset", ["paper", "segue"])
@pytest.mark.parametrize("name", [*ABLATIONS, *COMBINED])
def test_every_configuration_trains_and_uses_all_it_has(corpus: Corpus, preset: str, name: str) -> None:
    options, graph = ABLATIONS[name][:2] if name in ABLATIONS else COMBINED[name]
    world = with_attributes(corpus)
    model = model_of(world, preset, graph=graph, **options).train()
    optimizer = torch.optim.Adam(model.parameter_groups(), lr=0.01)
    reached: set[str] = set()
    losses = []
    for batch in batches_of(model, world):
        optimizer.zero_grad()
        loss = model.loss(batch)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        reached |= {key for key, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert {key for key, _ in model.named_parameters()} - reached == set()
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    model.eval()
    batch = worlds.events_of(model, world)
    wanted = worlds.scores_of(model, batch)
    assert torch.isfinite(wanted).all()
    copy = HGGNN(model.config, model.graph_settings)
    copy.restore(model.arrays(), world.n_items, world.n_users)
    copy.eval()
    assert torch.equal(worlds.scores_of(copy, batch), wanted)
    with torch.no_grad():
        copy.snapshot()
    torch.testing.assert_close(worlds.scores_of(copy, batch), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name, case in ABLATIONS.items() if case[2]])
def test_the_messages_of_an_item_by_hand(corpus: Corpus, name: str) -> None:
    """With W = 0 and b = 1 every message is 1: summed they are counted, averaged they are 1."""
    options, graph, messages, _ = ABLATIONS[name]
    for accumulate, heard in [("sum", float(messages)), ("mean", 1.0)]:
        model = model_of(corpus, graph=graph, accumulate=accumulate, layer_weights=[0.0, 1.0], **options)
        with torch.no_grad():
            for linear in model.hgnn.layers[0].weight.values():
                linear.weight.zero_()
                linear.bias.fill_(1)
        assert (model.hgnn(full_field(model.graph, 1))[ITEM] == heard).all()


def test_without_hgnn_items_and_users_are_their_embeddings(corpus: Corpus) -> None:
    model = model_of(corpus, layers=0).eval()
    batch = worlds.events_of(model, corpus)
    prefixes = batch.prefixes()
    p, alias, q = model._nodes(batch, prefixes)
    assert torch.equal(p[alias][prefixes.mask], model.hgnn.embedding[ITEM][prefixes.items][prefixes.mask])
    assert torch.equal(q, model.hgnn.embedding[USER][batch.user][batch.row])


@pytest.mark.parametrize(("switch", "part"), [("current_preference", "general"), ("general_preference", "current")])
def test_without_one_preference_the_session_is_the_other(corpus: Corpus, switch: str, part: str) -> None:
    whole, model = model_of(corpus).eval(), model_of(corpus, **{switch: False}).eval()
    model.load_state_dict({key: whole.state_dict()[key] for key in model.state_dict()})
    batch = worlds.events_of(model, corpus)
    with torch.no_grad():
        found, of_whole = model.terms(batch).reading, whole.terms(batch).reading
    torch.testing.assert_close(found.session, getattr(of_whole, part))


def test_without_user_nodes_no_user_is_anywhere(corpus: Corpus) -> None:
    model = model_of(with_attributes(corpus), user_nodes=False, graph={"attributes": ["item.kind", "user.town"]})
    assert set(model.graph.csr) == {"adjacent_in", "adjacent_out", "similar", "has:item:kind", "held_by:item:kind"}
    assert set(model.hgnn.embedding) == {ITEM, "item:kind"}
    assert model.encoder.w_3 is None
    assert (model.n_items, model.n_users) == (corpus.n_items, corpus.n_users)
    with_term = model_of(corpus, user_nodes=False, user_term=True).eval()
    batch = worlds.request_of(with_term, [1, 2], 3)
    torch.testing.assert_close(with_term._nodes(batch, batch.prefixes())[2][0], with_term.hgnn.embedding[USER][3])


def test_leaving_a_relation_out_leaves_the_other_lists_alone(corpus: Corpus) -> None:
    whole = model_of(corpus).graph.csr
    for left_out in ("adjacent_in", "adjacent_out", "similar"):
        fewer = model_of(corpus, graph=without(left_out)).graph.csr
        assert set(fewer) == set(whole) - {left_out}
        assert all(torch.equal(fewer[name].indices, whole[name].indices) for name in fewer)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"loss": "eq20", "pointer": ["history"]},
            "'model.pointer'.*'eq20' is defined for a softmax alone; set pointer",
        ),
        ({"current_preference": False, "general_preference": False}, "'model.general_preference'.*cannot both be off"),
        (
            {"layers": 2, "layer_weights": [0.5, 0.5]},
            "'model.layer_weights'.*layers = 2 needs layers \\+ 1 = 3 numbers",
        ),
        ({"layer_weights": [0.0, 0.0]}, "'model.layer_weights': some layer needs a weight other than 0"),
        ({"layer_weights": [1e308, 1.0]}, "'model.layer_weights.0': .*1000000, found 1e\\+308"),
        ({"memory": ["history", "history"]}, "'model.memory'.*name each source once"),
        ({"pointer": ["histroy"]}, "'model.pointer.0'.*'session', 'history', .* or 'trend'"),
        ({"dropuot": 0.1}, "unknown setting 'model.dropuot': did you mean 'dropout'"),
        ({"dropout": 1.0}, "'model.dropout'.*less than 1, found 1.0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        HGGNNConfig.parse(options, "model")
    assert re.search(message, str(refusal.value)), refusal.value
    assert "\n" not in str(refusal.value)


def test_preset_segue_takes_eq_20_only_without_its_pointer() -> None:
    with pytest.raises(ConfigError, match="set pointer = \\[\\]"):
        models.with_preset({"model": {"loss": "eq20"}})
    assert models.with_preset({"model": {"loss": "eq20", "pointer": []}}).model.options["loss"] == "eq20"


def test_popularity_is_the_log_of_the_train_share() -> None:
    corpus = worlds.busy()
    support = np.maximum(corpus.item_support, 0.5)
    expected = torch.from_numpy(np.log(support / corpus.item_support.sum())).float()
    torch.testing.assert_close(model_of(corpus, "segue").log_share, expected)
