"""The homogeneous graph of the authors' code: one convolution for all relations, parallel edges, self loops."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest
import torch
import worlds
from torch import Tensor
from torch_geometric.nn import SAGEConv

from segue.graph.hetero import ExtraUsers, HeteroGraph, full_field, receptive_field
from segue.graph.propagation import Csr
from segue.graph.relations import build_relations
from segue.graph.tables import ITEM, USER
from segue.models.hg_gnn.layers import HGNN
from segue.settings import GraphSettings, PreparationSettings

DIM = 5
RELATIONS = ("adjacent_in", "adjacent_out", "interact", "interacted_by")


@cache
def real_graph() -> HeteroGraph:
    """12 items, 6 known users and the unknown one; every transition and every event an edge both ways."""
    corpus = worlds.busy()
    settings = GraphSettings(sample_size=10**9, relations=RELATIONS)
    tables = build_relations(corpus.train, corpus.n_items, corpus.n_users, settings, preparation=PreparationSettings())
    return HeteroGraph.from_edges(tables, parallel=True)


def hgnn_of(graph: HeteroGraph, layers: int, dim: int = DIM, **options) -> HGNN:
    torch.manual_seed(7)
    alphas = (1 / (layers + 1),) * (layers + 1)
    options = {"asked": (ITEM, USER), "accumulate": "mean", "dropout": 0.0, "shared": True, **options}
    hgnn = HGNN(graph.n_nodes, graph.relations, dim, alphas, **options)
    for parameter in hgnn.parameters():
        torch.nn.init.uniform_(parameter, -1, 1)
    return hgnn.double()


def edges_of_the_log() -> Tensor:
    """[2, edges] over 12 items and then 7 users, event by event, with a self loop at every node."""
    corpus = worlds.busy()
    edges = [(node, node) for node in range(19)]
    for session in range(len(corpus.train)):
        items = corpus.train.items[corpus.train.offsets[session] : corpus.train.offsets[session + 1]].tolist()
        user = 12 + int(corpus.train.user[session])
        for one, other in [*pairwise(items), *((item, user) for item in items)]:
            edges += [(one, other), (other, one)] if one != other else []
    return torch.tensor(edges).t()


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_it_equals_one_sage_convolution_over_one_multigraph(layers: int) -> None:
    graph, items, users = real_graph(), torch.tensor([11, 4, 0, 7]), torch.tensor([6, 2])
    ours = hgnn_of(graph, layers)
    x = torch.cat([ours.embedding[ITEM], ours.embedding[USER]]).detach().requires_grad_()
    convolutions, total, h = [], x / (layers + 1), x
    for layer in ours.layers:
        theirs = SAGEConv(DIM, DIM, aggr="mean").double()
        theirs.lin_l.weight.data, theirs.lin_r.weight.data = (
            w.detach().clone() for w in layer.weight.weight.chunk(2, 1)
        )
        theirs.lin_l.bias.data = layer.weight.bias.detach().clone()
        h = theirs(h, edges_of_the_log()).relu()
        total = total + h / (layers + 1)
        convolutions.append(theirs)
    wanted = torch.cat([total[items], total[12 + users]])
    wanted.square().sum().backward()
    for field in (full_field(graph, layers), receptive_field(graph, items, users, layers, whole_above=1.0)):
        ours.zero_grad()
        found = ours(field)
        whole = len(found[ITEM]) == 12
        both = torch.cat([found[ITEM][items], found[USER][users]] if whole else [found[ITEM], found[USER]])
        torch.testing.assert_close(both, wanted, rtol=0, atol=1e-12)
        both.square().sum().backward()
        slopes = torch.cat([ours.embedding[ITEM].grad, ours.embedding[USER].grad])
        torch.testing.assert_close(slopes, x.grad, rtol=0, atol=1e-11)
        for layer, theirs in zip(ours.layers, convolutions, strict=True):
            by_both = torch.cat([theirs.lin_l.weight.grad, theirs.lin_r.weight.grad], 1)
            torch.testing.assert_close(layer.weight.weight.grad, by_both, rtol=0, atol=1e-11)
            torch.testing.assert_close(layer.weight.bias.grad, theirs.lin_l.bias.grad, rtol=0, atol=1e-11)


def test_a_mean_over_parallel_edges_users_and_the_node_itself_by_hand() -> None:
    """Sessions (0, 1) and (0, 1, 0) of one user: item 1 hears 0 three times, the user twice, and itself."""
    corpus = worlds.corpus_of([[[0, 1], [0, 1, 0]]])
    settings = GraphSettings(sample_size=10**9, relations=RELATIONS)
    tables = build_relations(corpus.train, 2, 1, settings, preparation=PreparationSettings())
    means = {True: (3 * 2.0 + 2 * 10.0 + 5.0) / 6, False: (2 * 2.0 + 10.0 + 5.0) / 4}
    for parallel, mean in means.items():
        graph = HeteroGraph.from_edges(tables, parallel=parallel)
        hgnn = hgnn_of(graph, 1, dim=1)
        with torch.no_grad():
            hgnn.embedding[ITEM].copy_(torch.tensor([[2.0], [5.0]]))
            hgnn.embedding[USER].copy_(torch.tensor([[10.0], [-7.0]]))
            hgnn.layers[0].weight.weight.copy_(torch.tensor([[2.0, 1.0]]))
            hgnn.layers[0].weight.bias.fill_(0.5)
        found = hgnn(full_field(graph, 1))
        assert found[ITEM][1].item() == pytest.approx((5.0 + (2 * mean + 1 * 5.0 + 0.5)) / 2)
        assert found[USER][1].item() == pytest.approx((-7.0 + 0) / 2), "the unknown user hears itself: relu(-20.5)"


def test_a_node_without_neighbours_hears_itself() -> None:
    silent = Csr(torch.zeros(4, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), 3)
    graph = HeteroGraph({ITEM: 3, USER: 3}, dict.fromkeys(RELATIONS, silent))
    hgnn = hgnn_of(graph, 1)
    by_neighbours, by_self = hgnn.layers[0].weight.weight.chunk(2, 1)
    own = hgnn.embedding[ITEM]
    wanted = (own @ (by_neighbours + by_self).t() + hgnn.layers[0].weight.bias).relu()
    torch.testing.assert_close(hgnn(full_field(graph, 1))[ITEM], (own + wanted) / 2, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_users_it_does_not_hold_are_served_from_a_graph_propagated_once(layers: int) -> None:
    graph = real_graph()
    hgnn = hgnn_of(graph, layers)
    lists = Csr.from_pairs(torch.tensor([0, 0, 0, 1]), torch.tensor([9, 2, 9, 2]), 3, 12, parallel=True)
    extra = ExtraUsers(lists, start=torch.tensor([6, 3, 6]))
    direct = hgnn(receptive_field(graph, torch.arange(12), torch.arange(7), layers, extra))
    propagated = hgnn.propagate(full_field(graph, layers))
    torch.testing.assert_close(propagated.refined[ITEM], direct[ITEM], rtol=0, atol=1e-12)
    torch.testing.assert_close(propagated.refined[USER], direct[USER][3:], rtol=0, atol=1e-12)
    torch.testing.assert_close(hgnn.extra_users(propagated, extra), direct[USER][:3], rtol=0, atol=1e-12)


def test_kept_tables_are_there_though_nobody_reads_them() -> None:
    graph = real_graph()
    assert hgnn_of(graph, 0, asked=(ITEM,)).embedding.keys() == {ITEM}
    kept = hgnn_of(graph, 0, asked=(ITEM,), kept=(USER,))
    assert kept.embedding.keys() == {ITEM, USER}
    assert torch.equal(kept(full_field(graph, 0))[USER], kept.embedding[USER])
