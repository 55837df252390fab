"""The union of users' behaviour against a reading session by session."""

from __future__ import annotations

import itertools
from collections import Counter

import torch
import worlds
from hypothesis import given
from hypothesis import strategies as st

from segue.graph.propagation import Csr
from segue.models.a_pgnn.graph import behaviour_graph

N_ITEMS = 6
session = st.lists(st.integers(0, N_ITEMS - 1), min_size=2, max_size=5)


def heard(lists: Csr, node: int, item: torch.Tensor) -> Counter[int]:
    return Counter(item[lists.indices[lists.offsets[node] : lists.offsets[node + 1]]].tolist())


@given(
    users=st.lists(st.lists(session, min_size=1, max_size=4), min_size=1, max_size=3),
    spread=st.integers(0, 2),
    max_sessions=st.integers(1, 4),
)
def test_every_event_finds_its_own_clicks_and_sessions(
    users: list[list[list[int]]], spread: int, max_sessions: int
) -> None:
    corpus = worlds.corpus_of(users, n_items=N_ITEMS)
    model = worlds.fitted({"model": {"name": "a_pgnn"}}, corpus)
    batch = worlds.events_of(model, corpus, corpus.train)
    graph = behaviour_graph(batch, N_ITEMS, max_items=100, max_sessions=max_sessions, spread=spread)
    nodes = iter(graph.node.tolist())
    event = 0
    for own in users:
        for number, played in enumerate(own):
            history = own[max(number - max_sessions, 0) : number]
            for t in range(1, len(played)):
                prefix = played[:t]
                clicks = list(itertools.islice(nodes, t))
                assert graph.item[clicks].tolist() == prefix
                assert graph.row[clicks].tolist() == [int(batch.row[event])] * t
                moves = Counter(move for s in [*history, prefix] for move in itertools.pairwise(s))
                for node, item in zip(clicks, prefix, strict=True):
                    assert heard(graph.predecessors, node, graph.item) == Counter(
                        {u: n for (u, v), n in moves.items() if v == item}
                    )
                    assert heard(graph.successors, node, graph.item) == Counter(
                        {v: n for (u, v), n in moves.items() if u == item}
                    )
                before = graph.sessions[event][graph.known[event]].tolist()
                members = [graph.member[graph.session == s] for s in before]
                assert [graph.item[m].tolist() for m in members] == history
                own_nodes = {int(graph.item[node]): node for node in clicks}
                for node in torch.cat(members).tolist() if members else []:
                    assert own_nodes.get(int(graph.item[node]), node) == node, "what the prefix changes is a copy"
                event += 1


def test_what_a_prefix_leaves_alone_is_there_once_a_row() -> None:
    corpus = worlds.corpus_of([[[0, 1, 2, 3], [4, 5, 4]]], n_items=N_ITEMS)
    model = worlds.fitted({"model": {"name": "a_pgnn"}}, corpus)
    batch = worlds.events_of(model, corpus, corpus.train)
    graph = behaviour_graph(batch, N_ITEMS, max_items=100, max_sessions=50, spread=2)
    of_last_row = graph.item[graph.row == 1].tolist()
    assert sorted(of_last_row) == [0, 1, 2, 3, 4, 4, 5], "history once; 4 and then 4, 5 for the two events"
    assert graph.n_sessions == 1
