"""Receptive field and full graph agree; propagation agrees with PyG; the graph survives storage."""

import pytest
import torch
from small_graphs import propagate, random_tables, tables_of
from torch_geometric.nn import HeteroConv, SAGEConv

from segue.graph.hetero import ExtraUsers, HeteroGraph, full_field, receptive_field, take
from segue.graph.propagation import Csr

DIM = 6
ITEMS, USERS = torch.tensor([0, 3, 17, 38]), torch.tensor([7, 2, 4])  # user 7 is the unknown user


@pytest.fixture(scope="module")
def graph():
    return HeteroGraph.from_edges(random_tables())


def parameters(graph, layers):
    embeddings = {t: torch.randn(n, DIM, dtype=torch.float64, requires_grad=True) for t, n in graph.n_nodes.items()}
    weights = {
        f"{name} {layer}": torch.randn(DIM, 2 * DIM, dtype=torch.float64, requires_grad=True) / DIM**0.5
        for name in graph.csr
        for layer in range(layers)
    }
    return embeddings, weights


def gradients(loss, embeddings, weights):
    leaves = [*embeddings.values(), *weights.values()]
    found = torch.autograd.grad(loss, leaves, allow_unused=True)
    return [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, found, strict=True)]


def loss_of(items, users):
    return (items.sin() * torch.arange(1, len(items) + 1).unsqueeze(1)).sum() + users.cos().square().sum()


@pytest.mark.parametrize("whole_above", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_receptive_field_equals_full_graph_in_values_and_gradients(graph, layers, whole_above):
    embeddings, weights = parameters(graph, layers)
    full = propagate(graph, full_field(graph, layers), embeddings, weights)
    field = receptive_field(graph, ITEMS, USERS, layers, whole_above=whole_above)
    local = propagate(graph, field, embeddings, weights)
    torch.testing.assert_close(local["item"], full["item"][ITEMS], rtol=0, atol=1e-12)
    torch.testing.assert_close(local["user"], full["user"][USERS], rtol=0, atol=1e-12)
    expected = gradients(loss_of(full["item"][ITEMS], full["user"][USERS]), embeddings, weights)
    found = gradients(loss_of(local["item"], local["user"]), embeddings, weights)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_the_field_is_smaller_than_the_graph_and_whole_when_that_is_cheaper(graph):
    small = receptive_field(graph, ITEMS[3:], USERS[:1], 1, whole_above=1.0)
    assert 0 < len(small.nodes["item"]) < 40
    whole = receptive_field(graph, ITEMS, USERS, 2, whole_above=0.0)
    assert whole.nodes["item"] == slice(None)
    assert whole.layers[0].csr["similar"] is graph.csr["similar"], "the graph's own lists and their transposes"
    assert whole.layers[1].csr["similar"].n_rows == len(ITEMS)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_extra_users_equal_users_of_a_graph_that_holds_them(graph, layers):
    """A new user starts from the unknown user's row, a rolling history from the user's own."""
    embeddings, weights = parameters(graph, layers)
    lists = Csr.from_pairs(torch.tensor([0, 0, 0, 2]), torch.tensor([5, 1, 30, 5]), 3, 40)
    extra = ExtraUsers(lists, start=torch.tensor([7, 7, 2]))
    field = receptive_field(graph, ITEMS, USERS, layers, extra)
    local = propagate(graph, field, embeddings, weights)

    silent = Csr(torch.zeros(4, dtype=torch.int64), torch.empty(0, dtype=torch.int64), 0)
    csr = {name: lists.beneath(graph.csr[name]) if name == "interact" else graph.csr[name] for name in graph.csr}
    csr["has:user:town"] = silent.beneath(graph.csr["has:user:town"])
    csr["has:user:town"] = Csr(csr["has:user:town"].offsets, csr["has:user:town"].indices, 3)
    for name in ("interacted_by", "held_by:user:town"):
        csr[name] = Csr(csr[name].offsets, csr[name].indices, 11)
    larger = HeteroGraph({**graph.n_nodes, "user": 11}, csr)
    rows = {**embeddings, "user": torch.cat([embeddings["user"], embeddings["user"][extra.start]])}
    full = propagate(larger, full_field(larger, layers), rows, weights)

    asked = torch.cat([torch.arange(8, 11), USERS])
    torch.testing.assert_close(local["user"], full["user"][asked], rtol=0, atol=1e-12)
    torch.testing.assert_close(local["item"], full["item"][ITEMS], rtol=0, atol=1e-12)
    expected = gradients(loss_of(full["item"][ITEMS], full["user"][asked]), embeddings, weights)
    found = gradients(loss_of(local["item"], local["user"]), embeddings, weights)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_the_unknown_user_hears_nobody_and_is_heard_by_nobody(graph):
    unknown = graph.n_nodes["user"] - 1
    field = receptive_field(graph, torch.empty(0, dtype=torch.int64), torch.tensor([unknown]), 2, whole_above=1.0)
    assert [len(rows) for rows in field.nodes.values()] == [0, 1, 0, 0]
    for relation in graph.relations:
        if relation.source == "user":
            assert unknown not in graph.csr[relation.name].indices


def test_one_layer_equals_pyg(graph):
    """Eq. (4)-(7) are HeteroConv of mean SAGEConv, each followed by relu, averaged over the relations."""
    embeddings, weights = parameters(graph, 1)
    weights = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
    convolutions, edges = {}, {}
    for relation in graph.relations:
        name = (relation.source, relation.name, relation.destination)
        convolutions[name] = SAGEConv((DIM, DIM), DIM, aggr="mean", bias=False).double()
        by_neighbours, by_self = weights[f"{relation.name} 0"].detach().chunk(2, dim=1)
        convolutions[name].lin_l.weight.data = by_neighbours.clone()
        convolutions[name].lin_r.weight.data = by_self.clone()
        csr = graph.csr[relation.name]
        owner = torch.repeat_interleave(csr.offsets.diff())
        edges[name] = torch.stack([csr.indices, owner])
    pyg = HeteroConv(convolutions, aggr=None)(embeddings, edges)
    expected = {t: (embeddings[t] + messages.relu().mean(1)) / 2 for t, messages in pyg.items()}
    found = propagate(graph, full_field(graph, 1), embeddings, weights)
    assert set(found) == set(expected)
    for node_type in found:
        torch.testing.assert_close(found[node_type], expected[node_type], rtol=0, atol=1e-12)
    theirs = sum(rows.sin().sum() for rows in expected.values())
    ours = sum(rows.sin().sum() for rows in found.values())
    leaves = [(c.lin_l.weight, c.lin_r.weight) for c in convolutions.values()]
    by_pyg = torch.autograd.grad(theirs, [*embeddings.values(), *(w for pair in leaves for w in pair)])
    by_us = torch.autograd.grad(ours, [*embeddings.values(), *weights.values()])
    n = len(embeddings)
    for one, other in zip(by_us[:n], by_pyg[:n], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11)
    for number, one in enumerate(by_us[n:]):
        pair = torch.cat(by_pyg[n + 2 * number : n + 2 * number + 2], dim=1)
        torch.testing.assert_close(one, pair, rtol=0, atol=1e-11)


def test_storage_keeps_the_graph(graph):
    arrays = graph.arrays()
    assert arrays["interact/offsets"].dtype == torch.int64
    assert arrays["interact/indices"].dtype == torch.int32
    users = graph.n_nodes["user"] - 1
    stored = {name: arrays[name] for name in sorted(arrays)}
    shuffled = HeteroGraph.from_arrays(stored, list(graph.csr), graph.n_nodes["item"], users)
    assert dict(shuffled.n_nodes) == dict(graph.n_nodes)
    assert shuffled.relations == graph.relations
    for name, csr in graph.csr.items():
        assert torch.equal(csr.offsets, shuffled.csr[name].offsets)
        assert torch.equal(csr.indices, shuffled.csr[name].indices)
        assert csr.n_columns == shuffled.csr[name].n_columns


def test_a_graph_without_user_relations_still_has_users():
    tables = tables_of([[0, 1, 2]], [0], 3, 1, relations=("adjacent_in", "adjacent_out"))
    graph = HeteroGraph.from_edges(tables)
    field = receptive_field(graph, torch.tensor([1]), torch.tensor([0]), 1, whole_above=1.0)
    assert field.nodes["item"].tolist() == [1, 0, 2]
    assert field.nodes["user"].tolist() == [0]
    assert take(torch.arange(2.0).unsqueeze(1), field.nodes["user"]).tolist() == [[0.0]]


def test_parallel_edges_repeat_what_was_counted_and_nothing_else():
    tables = tables_of([[0, 1, 2], [0, 1], [2, 0, 1]], [0, 0, 1], 3, 2)
    plain, parallel = (HeteroGraph.from_edges(tables, parallel=on) for on in (False, True))
    for name, csr in parallel.csr.items():
        counts = [1 if name == "similar" else times for row in rows_of(tables, name) for times in row.values()]
        sources = [source for row in rows_of(tables, name) for source in row]
        assert csr.indices.tolist() == [s for s, times in zip(sources, counts, strict=True) for _ in range(times)]
        assert csr.n_rows == plain.csr[name].n_rows
    # 0 → 1 happened three times, 2 → 0 and 1 → 2 once; user 0 had 0 and 1 twice, 2 once.
    assert parallel.csr["adjacent_in"].offsets.tolist() == [0, 1, 4, 5]
    assert parallel.csr["interact"].offsets.tolist() == [0, 5, 8, 8]


def rows_of(tables, name):
    return [tables.edges[name].row(number) for number in range(len(tables.edges[name]))]
