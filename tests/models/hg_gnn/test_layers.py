"""Eq. (4)-(8): HGNN layers against PyG (T41) and against the equations written out node by node."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pyarrow as pa
import pytest
import torch
import worlds
from torch import Tensor
from torch_geometric.nn import HeteroConv, SAGEConv

from segue.graph.hetero import ExtraUsers, Field, HeteroGraph, full_field, receptive_field
from segue.graph.propagation import Csr
from segue.graph.relations import build_relations
from segue.graph.tables import ITEM, USER
from segue.models.hg_gnn.layers import HGNN, HGNNLayer
from segue.settings import GraphSettings, PreparationSettings

DIM = 5
KIND = "item:kind"
UNEVEN = {1: (0.7, 0.2), 2: (0.1, 0.0, 0.6), 3: (0.4, 0.3, 0.2, 0.1)}


@cache
def real_graph() -> HeteroGraph:
    """12 items, 6 known users and the unknown one, all five relations, and the kinds of the items."""
    corpus = worlds.busy()
    kinds = corpus.items.append_column("kind", pa.array([None if i == 4 else f"k{i % 3}" for i in range(12)]))
    corpus = replace(corpus, items=kinds)
    settings = GraphSettings(sample_size=2, top_k_similar=3, attributes=("item.kind",))
    return HeteroGraph.from_edges(
        build_relations(
            corpus.train, corpus.n_items, corpus.n_users, settings,
            preparation=PreparationSettings(), items=corpus.items, users=corpus.users,
        )
    )  # fmt: skip


def hgnn_of(
    graph: HeteroGraph,
    layers: int,
    *,
    accumulate: str = "mean",
    alphas: tuple[float, ...] | None = None,
    dim: int = DIM,
    dropout: float = 0.0,
    asked: tuple[str, ...] = (ITEM, USER),
) -> HGNN:
    torch.manual_seed(7)
    alphas = alphas or (1 / (layers + 1),) * (layers + 1)
    hgnn = HGNN(graph.n_nodes, graph.relations, dim, alphas, asked=asked, accumulate=accumulate, dropout=dropout)
    for parameter in hgnn.parameters():
        torch.nn.init.uniform_(parameter, -1, 1)
    return hgnn.double()


class ByPyg:
    """The same layers from HeteroConv of mean SAGEConv; lin_l: neighbours and bias, lin_r: the node."""

    def __init__(self, hgnn: HGNN, graph: HeteroGraph, accumulate: str) -> None:
        self.accumulate, self.alphas = accumulate, hgnn.alphas
        self.tables = {t: table.detach().clone().requires_grad_() for t, table in hgnn.embedding.items()}
        self.edges = {
            r.name: torch.stack([graph.csr[r.name].indices, torch.repeat_interleave(graph.csr[r.name].offsets.diff())])
            for r in graph.relations
        }
        self.convolutions = [{r: self._convolution(layer, r.name) for r in layer.relations} for layer in hgnn.layers]

    @staticmethod
    def _convolution(layer: HGNNLayer, relation: str) -> SAGEConv:
        ours, theirs = layer.weight[relation], SAGEConv((DIM, DIM), DIM, aggr="mean").double()
        theirs.lin_l.weight.data, theirs.lin_r.weight.data = (w.detach().clone() for w in ours.weight.chunk(2, 1))
        theirs.lin_l.bias.data = ours.bias.detach().clone()
        return theirs

    def __call__(self) -> dict[str, Tensor]:
        tables = self.tables
        total = {t: self.alphas[0] * table for t, table in tables.items()}
        for layer, alpha in zip(self.convolutions, self.alphas[1:], strict=True):
            named = {(r.source, r.name, r.destination): convolution for r, convolution in layer.items()}
            messages = HeteroConv(named, aggr=None)(tables, {key: self.edges[key[1]] for key in named})
            heard = {t: m.relu().mean(1) if self.accumulate == "mean" else m.relu().sum(1) for t, m in messages.items()}
            tables = {**tables, **heard}
            total = {t: total[t] + alpha * table for t, table in tables.items()}
        return total

    def gradients(self) -> list[Tensor]:
        found = [table.grad for table in self.tables.values()]
        for layer in self.convolutions:
            for c in layer.values():
                found += [torch.cat([c.lin_l.weight.grad, c.lin_r.weight.grad], 1), c.lin_l.bias.grad]
        return found


def value_of(items: Tensor, users: Tensor) -> Tensor:
    """Some number that every row has its own part in."""
    return (items.sin() * torch.arange(1, len(items) + 1)[:, None]).sum() + (users.cos() ** 2).sum()


@pytest.mark.filterwarnings("ignore:There exist node types")
@pytest.mark.parametrize("accumulate", ["mean", "sum"])
@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_layers_equal_pyg_in_values_and_gradients(layers: int, uniform: bool, accumulate: str) -> None:  # T41
    graph, items, users = real_graph(), torch.tensor([11, 4, 0, 7]), torch.tensor([6, 2])
    ours = hgnn_of(graph, layers, accumulate=accumulate, alphas=None if uniform else UNEVEN[layers])
    theirs = ByPyg(ours, graph, accumulate)
    wanted = theirs()
    value_of(wanted[ITEM][items], wanted[USER][users]).backward()
    fields: list[tuple[Field, bool]] = [
        (full_field(graph, layers), True),
        (receptive_field(graph, items, users, layers, whole_above=1.0), False),
    ]
    for field, whole in fields:
        ours.zero_grad()
        found = ours(field)
        p, q = (found[t][rows] if whole else found[t] for t, rows in ((ITEM, items), (USER, users)))
        torch.testing.assert_close(p, wanted[ITEM][items], rtol=0, atol=1e-12)
        torch.testing.assert_close(q, wanted[USER][users], rtol=0, atol=1e-12)
        value_of(p, q).backward()
        for parameter, gradient in zip(ours.parameters(), theirs.gradients(), strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=1e-11)


HAND = {
    "adjacent_in": [[1], [0, 2], []],
    "adjacent_out": [[1], [2], [1, 0]],
    "similar": [[2], [], [0]],
    "interacted_by": [[0, 1], [1], [0]],
    "interact": [[0, 2], [1, 0], []],
}


def hand_graph() -> HeteroGraph:
    """Three items, two users and the unknown one, lists as above."""
    csr = {}
    for name, rows in HAND.items():
        lengths = torch.tensor([0] + [len(row) for row in rows])
        csr[name] = Csr(lengths.cumsum(0), torch.tensor([n for row in rows for n in row]), 3)
    return HeteroGraph({ITEM: 3, USER: 3}, csr)


def literal(hgnn: HGNN, layers: int) -> tuple[list[Tensor], list[Tensor]]:
    """p and q of every node of the hand-made graph, one equation a line."""
    p, q = list(hgnn.embedding[ITEM]), list(hgnn.embedding[USER])
    p_sum, q_sum = [hgnn.alphas[0] * x for x in p], [hgnn.alphas[0] * x for x in q]
    for k in range(layers):
        weight = hgnn.layers[k].weight

        def message(relation: str, node: int, own: Tensor, sources: list[Tensor], weight=weight) -> Tensor:
            neighbours = [sources[n] for n in HAND[relation][node]]
            mean = sum(neighbours) / len(neighbours) if neighbours else torch.zeros_like(own)  # (4)
            return torch.relu(weight[relation].weight @ torch.cat([mean, own]) + weight[relation].bias)  # (5)

        new_p = [
            (message("interacted_by", v, p[v], q) + message("adjacent_in", v, p[v], p)
             + message("adjacent_out", v, p[v], p) + message("similar", v, p[v], p)) / 4  # (6)
            for v in range(3)
        ]  # fmt: skip
        new_q = [message("interact", u, q[u], p) for u in range(3)]  # (7)
        p, q = new_p, new_q
        p_sum = [s + hgnn.alphas[k + 1] * x for s, x in zip(p_sum, p, strict=True)]  # (8)
        q_sum = [s + hgnn.alphas[k + 1] * x for s, x in zip(q_sum, q, strict=True)]
    return p_sum, q_sum


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_layers_equal_the_equations_node_by_node(layers: int) -> None:
    graph = hand_graph()
    hgnn = hgnn_of(graph, layers)
    found = hgnn(full_field(graph, layers))
    p, q = literal(hgnn, layers)
    torch.testing.assert_close(found[ITEM], torch.stack(p), rtol=0, atol=1e-12)
    torch.testing.assert_close(found[USER], torch.stack(q), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("accumulate", "by_hand"), [("mean", (2 + 15 / 4) / 2), ("sum", (2 + 15) / 2)])
def test_a_relation_without_neighbours_keeps_its_self_part_and_its_share(accumulate: str, by_hand: float) -> None:
    """Item 2 hears nobody: messages relu(s · 2 + 1) for s = 1, 2, 3, −9 are 3, 5, 7, 0, and the divisor stays 4."""
    silent = Csr(torch.zeros(4, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), 3)
    graph = HeteroGraph({ITEM: 3, USER: 3}, dict.fromkeys(HAND, silent))
    hgnn = hgnn_of(graph, 1, accumulate=accumulate, dim=1)
    with torch.no_grad():
        hgnn.embedding[ITEM].fill_(2)
        for name, own in [("adjacent_in", 1), ("adjacent_out", 2), ("similar", 3), ("interacted_by", -9)]:
            hgnn.layers[0].weight[name].weight.copy_(torch.tensor([[100.0, own]]))
            hgnn.layers[0].weight[name].bias.fill_(1)
    assert hgnn(full_field(graph, 1))[ITEM][2].item() == pytest.approx(by_hand)


@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_without_layers_eq_8_is_its_first_term(alpha: float) -> None:
    graph = real_graph()
    hgnn = hgnn_of(graph, 0, alphas=(alpha,))
    field = receptive_field(graph, torch.tensor([3, 1]), torch.tensor([6]), 0)
    found, cached = hgnn(field), hgnn.propagate(full_field(graph, 0)).refined
    assert torch.equal(found[ITEM], alpha * hgnn.embedding[ITEM][[3, 1]])
    assert torch.equal(found[USER], alpha * hgnn.embedding[USER][[6]])
    assert torch.equal(cached[ITEM], alpha * hgnn.embedding[ITEM])
    assert hgnn.embedding.keys() == {ITEM, USER}


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_the_graph_propagated_once_gives_the_same_and_serves_users_it_does_not_hold(layers: int) -> None:
    graph = real_graph()
    hgnn = hgnn_of(graph, layers, alphas=UNEVEN.get(layers))
    lists = Csr.from_pairs(torch.tensor([0, 0, 1]), torch.tensor([9, 2, 2]), 3, 12)
    extra = ExtraUsers(lists, start=torch.tensor([6, 3, 6]))
    items, users = torch.arange(12), torch.arange(7)
    direct = hgnn(receptive_field(graph, items, users, layers, extra))
    propagated = hgnn.propagate(full_field(graph, layers))
    torch.testing.assert_close(propagated.refined[ITEM], direct[ITEM], rtol=0, atol=1e-12)
    torch.testing.assert_close(propagated.refined[USER], direct[USER][3:], rtol=0, atol=1e-12)
    torch.testing.assert_close(hgnn.extra_users(propagated, extra), direct[USER][:3], rtol=0, atol=1e-12)


def test_only_what_reaches_an_asked_node_has_parameters() -> None:
    graph = real_graph()
    paper = {"adjacent_in", "adjacent_out", "similar", "interacted_by", "interact"}
    last, first = {*paper, f"has:{KIND}"}, {*paper, f"has:{KIND}", f"held_by:{KIND}"}
    assert [set(layer.weight) for layer in hgnn_of(graph, 2).layers] == [first, last]
    items_only = hgnn_of(graph, 2, asked=(ITEM,))
    assert [set(layer.weight) for layer in items_only.layers] == [first, last - {"interact"}]
    assert items_only.embedding.keys() == {ITEM, USER, KIND}
    assert hgnn_of(graph, 0, asked=(ITEM,)).embedding.keys() == {ITEM}
    field = receptive_field(graph, torch.tensor([0, 5]), torch.tensor([], dtype=torch.int64), 2)
    whole = hgnn_of(graph, 2)(receptive_field(graph, torch.tensor([0, 5]), torch.tensor([1]), 2))
    items_only.load_state_dict(hgnn_of(graph, 2).state_dict(), strict=False)
    torch.testing.assert_close(items_only(field)[ITEM], whole[ITEM], rtol=0, atol=1e-12)


def test_dropout_is_on_what_a_layer_reads_not_on_the_sum_of_eq_8() -> None:
    graph = real_graph()
    hgnn = hgnn_of(graph, 1, alphas=(1.0, 0.0), dropout=0.9).train()
    assert torch.equal(hgnn(full_field(graph, 1))[ITEM], hgnn.embedding[ITEM])
    hgnn = hgnn_of(graph, 1, alphas=(0.0, 1.0), dropout=0.9).train()
    trained = hgnn(full_field(graph, 1))[ITEM]
    assert not torch.allclose(trained, hgnn.eval()(full_field(graph, 1))[ITEM])
    bare = hgnn_of(graph, 0, dropout=0.9).train()
    assert (bare(full_field(graph, 0))[ITEM] == 0).double().mean() > 0.5
