"""Session graphs against a reading click by click."""

from __future__ import annotations

import itertools
from collections import Counter

import torch
import worlds
from hypothesis import given
from hypothesis import strategies as st

from segue.data.batches import Batch
from segue.data.loader import Loader
from segue.graph.session import last_nodes, prefix_graph, session_graph

N_ITEMS = 6


def prefixes_of(*sessions: list[int]) -> Batch:
    corpus = worlds.corpus_of([list(sessions)], n_items=N_ITEMS)
    (batch,) = Loader(corpus, corpus.train, 20).batches(10**9)
    return batch


@given(st.lists(st.lists(st.integers(0, N_ITEMS - 1), min_size=2, max_size=7), min_size=1, max_size=5))
def test_nodes_and_transitions_are_those_of_each_prefix(sessions: list[list[int]]) -> None:
    batch = prefixes_of(*sessions)
    prefixes = batch.prefixes()
    graph, alias = prefix_graph(prefixes, N_ITEMS)
    nodes = list(zip(graph.event.tolist(), graph.item.tolist(), strict=True))
    edges = [(nodes[s], nodes[t]) for s, t in zip(graph.source.tolist(), graph.target.tolist(), strict=True)]
    wanted_nodes, wanted_edges = set(), []
    for event, (row, position) in enumerate(zip(batch.row.tolist(), batch.position.tolist(), strict=True)):
        clicks = batch.items[row, : position + 1].tolist()
        wanted_nodes |= {(event, item) for item in clicks}
        wanted_edges += [((event, a), (event, b)) for a, b in itertools.pairwise(clicks)]
        assert [nodes[n] for n in alias[event, : position + 1].tolist()] == [(event, item) for item in clicks]
    assert nodes == sorted(wanted_nodes)
    assert edges == wanted_edges, "in order of time, parallel edges and loops kept"
    source, target, count = graph.distinct_edges()
    found = {(nodes[s], nodes[t]): n for s, t, n in zip(source.tolist(), target.tolist(), count.tolist(), strict=True)}
    assert found == Counter(wanted_edges)


@given(st.lists(st.lists(st.integers(0, N_ITEMS - 1), min_size=2, max_size=7), min_size=1, max_size=5))
def test_a_shortcut_joins_each_click_to_itself_and_to_every_later_one(sessions: list[list[int]]) -> None:
    prefixes = prefixes_of(*sessions).prefixes()
    graph, alias = prefix_graph(prefixes, N_ITEMS)
    wanted = set()
    for nodes, length in zip(alias.tolist(), prefixes.mask.sum(1).tolist(), strict=True):
        wanted |= {(nodes[j], nodes[i]) for j in range(length) for i in range(j + 1)}
    source, target = graph.shortcuts()
    assert list(zip(target.tolist(), source.tolist(), strict=True)) == sorted(wanted)


def test_the_last_node_is_that_of_the_last_click() -> None:
    """Not the node that is numbered last: (5, 3) ends at 3, (3, 5, 3) at 3 again."""
    prefixes = prefixes_of([5, 3, 0], [3, 5, 3, 0]).prefixes()
    graph, alias = prefix_graph(prefixes, N_ITEMS)
    event, node = last_nodes(prefixes, alias)
    assert event.tolist() == [0, 1, 2, 3, 4]
    assert graph.event[node].tolist() == event.tolist()
    assert graph.item[node].tolist() == [5, 3, 3, 5, 3]


def test_no_edge_crosses_the_beginning_of_a_session() -> None:
    event, item = torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([3, 4, 4, 3, 3, 5])
    begins = torch.tensor([True, False, True, False, True, False])
    graph = session_graph(event, item, begins, N_ITEMS)
    nodes = list(zip(graph.event.tolist(), graph.item.tolist(), strict=True))
    assert nodes == [(0, 3), (0, 4), (1, 3), (1, 5)]
    assert (graph.source.tolist(), graph.target.tolist()) == ([0, 1, 2], [1, 0, 3])


def test_an_empty_prefix_has_no_node() -> None:
    model = worlds.fitted(worlds.small("markov", "first_order"), worlds.cycle())
    prefixes = worlds.request_of(model, []).prefixes()
    graph, alias = prefix_graph(prefixes, N_ITEMS)
    assert [len(part) for part in last_nodes(prefixes, alias)] == [0, 0]
    assert len(graph.item) == len(graph.source) == len(graph.distinct_edges()[0]) == len(graph.shortcuts()[0]) == 0
    assert alias.tolist() == [[0]]
