"""SR-GNN against a reading click by click, and the mistakes its other implementations made."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch
import worlds
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from segue import models
from segue.data.corpus import Corpus
from segue.graph.propagation import Csr
from segue.graph.session import SessionGraph, prefix_graph
from segue.models.sr_gnn import SRGNN, neighbours
from segue.nn.losses import softmax_loss

N_ITEMS = 6


def fitted(corpus: Corpus, **options: object) -> SRGNN:
    model = worlds.fitted({"model": {"name": "sr_gnn", "dim": 4, **options}}, corpus)
    assert isinstance(model, SRGNN)
    return model.double().eval()


def world(*sessions: list[int]) -> Corpus:
    return worlds.corpus_of([list(sessions)], n_items=N_ITEMS)


def graph_of(items: Sequence[int]) -> SessionGraph:
    model = fitted(world([0, 1]))
    return prefix_graph(worlds.request_of(model, items).prefixes(), N_ITEMS)[0]


def dense(csr: Csr) -> Tensor:
    """The matrix that `neighbour_mean` applies."""
    rows = torch.zeros(csr.n_rows, csr.n_columns)
    for row, (start, end) in enumerate(itertools.pairwise(csr.offsets.tolist())):
        for column in csr.indices[start:end].tolist():
            rows[row, column] += 1 / (end - start)
    return rows


def matrices(items: Sequence[int]) -> tuple[list[int], Tensor, Tensor]:
    """Nodes, M_in and M_out as written: 1[u → v] / indeg(v) at [v, u], 1[u → v] / outdeg(u) at [u, v]."""
    nodes = sorted(set(items))
    edges = {(nodes.index(u), nodes.index(v)) for u, v in itertools.pairwise(items)}
    to, away = torch.zeros(2, len(nodes), len(nodes), dtype=torch.float64)
    for u, v in edges:
        to[v, u] = 1 / sum(w == v for _, w in edges)
        away[u, v] = 1 / sum(w == u for w, _ in edges)
    return nodes, to, away


def by_hand(model: SRGNN, items: Sequence[int]) -> Tensor:
    """s of a session, every sum and gate written out."""
    p = {name: parameter.detach() for name, parameter in model.named_parameters()}
    nodes, to, away = matrices(items)
    x = p["embedding.weight"][nodes]
    for _ in range(model.config.steps):
        heard_in = to @ (x @ p["propagation.incoming.weight"].T + p["propagation.incoming.bias"])
        heard_out = away @ (x @ p["propagation.outgoing.weight"].T + p["propagation.outgoing.bias"])
        a = torch.cat([heard_in, heard_out], 1) + p["propagation.bias"]
        w = (a @ p["propagation.gru.weight_ih"].T + p["propagation.gru.bias_ih"]).chunk(3, 1)
        u = (x @ p["propagation.gru.weight_hh"].T + p["propagation.gru.bias_hh"]).chunk(3, 1)
        r, z = torch.sigmoid(w[0] + u[0]), torch.sigmoid(w[1] + u[1])
        x = (1 - z) * torch.tanh(w[2] + r * u[2]) + z * x
    click = [x[nodes.index(item)] for item in items]
    last, whole = click[-1], torch.zeros_like(click[-1])
    for each in click:
        gate = torch.sigmoid(
            p["attention.of_last.weight"] @ last
            + p["attention.of_last.bias"]
            + p["attention.of_each.weight"] @ each
            + p["attention.of_each.bias"]
        )
        whole = whole + (p["attention.query.weight"][0] @ gate) * each
    return p["attention.transform.weight"] @ torch.cat([whole, last]) + p["attention.transform.bias"]


def session_vector(model: SRGNN, items: Sequence[int]) -> Tensor:
    return model.encode(worlds.request_of(model, items)).vectors[0].detach()


@given(
    st.lists(st.lists(st.integers(0, N_ITEMS - 1), min_size=2, max_size=7), min_size=1, max_size=4), st.integers(0, 3)
)
def test_scores_are_those_of_the_written_out_model(sessions: list[list[int]], steps: int) -> None:
    """T35; and mistake 6: the candidates are the vectors that the nodes start from."""
    corpus = world(*sessions)
    model = fitted(corpus, steps=steps)
    batch = worlds.events_of(model, corpus, corpus.train)
    prefixes = [items[:length] for items in sessions for length in range(1, len(items))]
    wanted = torch.stack([model.embedding.weight.detach() @ by_hand(model, prefix) for prefix in prefixes])
    torch.testing.assert_close(worlds.scores_of(model, batch), wanted)


def test_each_direction_is_normalised_over_its_own_neighbours() -> None:
    """Mistake 1, session (1, 2, 3, 2, 4)."""
    graph = graph_of([1, 2, 3, 2, 4])
    assert graph.item.tolist() == [1, 2, 3, 4]
    predecessors, successors = (dense(csr) for csr in neighbours(graph))
    assert successors[1].tolist() == [0, 0, 0.5, 0.5]
    assert predecessors[1].tolist() == [0.5, 0, 0.5, 0]
    assert successors.sum(1).tolist() == [1, 1, 1, 0]
    assert predecessors.sum(1).tolist() == [0, 1, 1, 1]


def test_a_transition_made_twice_is_one_edge() -> None:
    """(1, 2, 1, 2, 3): 2 leads to 1 and to 3, each by half, though 1 → 2 was seen twice."""
    predecessors, successors = (dense(csr) for csr in neighbours(graph_of([1, 2, 1, 2, 3])))
    assert successors.tolist() == [[0, 1, 0], [0.5, 0, 0.5], [0, 0, 0]]
    assert predecessors.tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0]]


def test_a_click_on_the_same_item_is_a_loop() -> None:
    """Mistake 5."""
    predecessors, successors = (dense(csr) for csr in neighbours(graph_of([2, 2, 5])))
    assert predecessors.tolist() == [[1, 0], [1, 0]]
    assert successors.tolist() == [[0.5, 0.5], [0, 0]]
    model = fitted(world([0, 1]))
    assert not torch.allclose(session_vector(model, [2, 2]), session_vector(model, [2]))


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_parameter_count(steps: int) -> None:
    """T7 and mistake 2: two adjacencies with weights of their own, a cell of input 2 d; the steps share them."""
    v, d = N_ITEMS, 4
    propagation = 2 * (d * d + d) + 2 * d + 6 * d * d + 3 * d * d + 6 * d
    wanted = v * d + (propagation if steps else 0) + 2 * (d * d + d) + d + 2 * d * d + d
    assert fitted(world([0, 1]), steps=steps).statistics() == {"parameters": wanted}


def test_attention_is_not_normalised() -> None:
    """Mistake 3: α is linear in q, so twice the q is twice s_g; a softmax would not let it grow."""
    model = fitted(world([0, 1]))
    seen: list[Tensor] = []
    model.attention.transform.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].detach()))
    request = worlds.request_of(model, [1, 4, 2, 4])
    model.encode(request)
    with torch.no_grad():
        model.attention.query.weight.mul_(2)
    model.encode(request)
    (before, last), (after, same) = (vectors.chunk(2, dim=1) for vectors in seen)
    torch.testing.assert_close(after, 2 * before)
    assert torch.equal(same, last)


def test_the_last_click_counts_not_the_last_node() -> None:
    """Mistake 4: without propagation, the second half of W_3's input is the vector of the item clicked last."""
    model = fitted(world([0, 1]), steps=0)
    seen: list[Tensor] = []
    model.attention.transform.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0][0, 4:]))
    for items in ([5, 3], [3, 5], [3, 5, 3]):
        model.encode(worlds.request_of(model, items))
        assert torch.equal(seen[-1], model.embedding.weight[items[-1]])


def test_without_steps_the_order_of_earlier_clicks_is_unknown() -> None:
    """Mistake 7: the ablation without the graph; with it, the order tells."""
    for steps, same in ((0, True), (1, False)):
        model = fitted(world([0, 1]), steps=steps)
        one, other = session_vector(model, [1, 4, 2, 3]), session_vector(model, [4, 2, 1, 3])
        assert torch.allclose(one, other, atol=1e-12) is same


def test_an_empty_prefix_is_scored_by_the_bias() -> None:
    model = fitted(world([0, 1]))
    wanted = model.embedding.weight @ model.attention.transform.bias
    torch.testing.assert_close(worlds.scores_of(model, worlds.request_of(model, []))[0], wanted.detach())


def test_the_loss_is_over_all_items_and_every_position() -> None:
    corpus = world([2, 5, 2, 1])
    model = fitted(corpus)
    batch = worlds.events_of(model, corpus, corpus.train)
    scores = torch.stack([model.embedding.weight @ by_hand(model, [2, 5, 2, 1][:t]) for t in (1, 2, 3)])
    wanted = torch.nn.functional.cross_entropy(scores, torch.tensor([5, 2, 1]))
    torch.testing.assert_close(model.loss(batch), wanted)
    torch.testing.assert_close(softmax_loss(model.encode(batch), model.item_vectors(), batch.target), wanted)


def test_parameters_start_within_one_over_the_root_of_the_size() -> None:
    model = fitted(world([0, 1]), dim=64)
    for parameter in model.parameters():
        assert 0.9 / 8 < parameter.abs().max() <= 1 / 8


def test_the_presets_are_the_settings_of_the_two_papers() -> None:
    official, paper_conditions = (
        models.with_preset({"model": {"name": "sr_gnn", "preset": preset}})
        for preset in ("official", "paper_conditions")
    )
    assert (official.training.batch_events, paper_conditions.training.batch_events) == (100, 512)
    for training in (official.training, paper_conditions.training):
        assert (training.optimizer, training.learning_rate, training.weight_decay) == ("adam", 1e-3, 1e-5)
        assert (training.schedule, training.decay, training.decay_every) == ("step", 0.1, 3)
    assert (official.training.max_epochs, official.training.patience) == (30, 10)
    assert (official.training.epoch_steps, official.training.pass_steps) == (0, 0)
    config = SRGNN.Config.parse(official.model.options)
    assert config.model_dump(exclude={"window"}) == {"dim": 100, "steps": 1}
