"""Against formulas written as loops over nodes and edges, and the traps of the published implementations."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
import worlds
from torch import Tensor
from torch.nn.functional import leaky_relu
from worlds import TEST, TRAIN, VALIDATION

from segue.data.corpus import Corpus
from segue.graph.session import prefix_graph
from segue.models.gce_gnn import model as gce_gnn
from segue.models.gce_gnn.model import GCEGNN, session_relations

SESSIONS = [[0, 3, 1, 3, 2], [4, 4, 0], [1, 2, 1, 5, 6], [2, 0, 2]]


def fitted(corpus: Corpus, seed: int = 0, **options: object) -> GCEGNN:
    off = {f"dropout_{part}": 0.0 for part in ("gcn", "local", "global")}
    model = worlds.fitted({"model": {"name": "gce_gnn", "dim": 6, **off, **options}}, corpus, seed)
    assert isinstance(model, GCEGNN)
    return model.double().eval()


def heard_globally(model: GCEGNN, item: int, session: Tensor, hop: int) -> Tensor:
    """h of one item after `hop` hops for one session: a recursion over neighbours, one edge at a time."""
    if hop == 0:
        return model.embedding.weight[item]
    part = model.hops[hop - 1]
    near = entries(model, item)
    total = torch.zeros(model.config.dim, dtype=torch.float64)
    if near:
        states = [heard_globally(model, other, session, hop - 1) for other, _ in near]
        w_1 = torch.cat([part.project.weight, part.of_weight[:, None]], dim=1)
        weights = [float(np.log1p(c)) if model.config.weights == "log1p" else float(c) for _, c in near]
        logits = [
            part.query @ leaky_relu(w_1 @ torch.cat([session * h, torch.tensor([w]).double()]), 0.2)
            for h, w in zip(states, weights, strict=True)
        ]
        shares = torch.softmax(torch.stack(logits), 0)
        total = sum((share * h for share, h in zip(shares, states, strict=True)), total)
    own = heard_globally(model, item, session, hop - 1)
    return torch.relu(part.transform.weight @ torch.cat([own, total]))


def heard_locally(model: GCEGNN, item: int, clicks: list[int]) -> Tensor:
    e = model.embedding.weight
    follows = set(itertools.pairwise(clicks))
    near, logits = [], []
    for other in sorted(set(clicks)):
        into, out = (other, item) in follows, (item, other) in follows
        if other != item and not into and not out:
            continue
        relation = 0 if other == item else into + 2 * out
        near.append(e[other])
        logits.append(leaky_relu(model.local.of_relation[relation] @ (e[item] * e[other]), 0.2))
    shares = torch.softmax(torch.stack(logits), 0)
    return (shares[:, None] * torch.stack(near)).sum(0)


def by_hand(model: GCEGNN, clicks: list[int]) -> Tensor:
    """S of one prefix, click by click."""
    e, readout = model.embedding.weight, model.readout
    session = torch.stack([e[item] for item in clicks]).mean(0)
    h = [heard_locally(model, i, clicks) + heard_globally(model, i, session, model.config.hops) for i in clicks]
    mean = torch.stack(h).mean(0)
    total = torch.zeros(model.config.dim, dtype=torch.float64)
    for place, state in enumerate(h):
        position = readout.position.weight[len(clicks) - 1 - place]
        z = torch.tanh(readout.placed.weight @ torch.cat([state, position]))
        gate = torch.sigmoid(readout.of_each.weight @ z + readout.of_each.bias + readout.of_mean.weight @ mean)
        total = total + (readout.query @ gate) * state
    return total


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"hops": 2},
        {"hops": 2, "weights": "log1p", "neighbours": 2, "distance": 1},
        {"hops": 2, "neighbours": 5, "fill": "repeat"},
    ],
)
def test_the_batch_equals_loops_over_clicks_and_edges(options: dict[str, object]) -> None:
    """T38, traps 8 and 9: hop by hop, relation by relation, positions from the end."""
    corpus = worlds.corpus_of([SESSIONS], n_items=8)
    model = fitted(corpus, **options)
    found = model.encode(worlds.events_of(model, corpus, corpus.train)).vectors
    wanted = [by_hand(model, session[:t]) for session in SESSIONS for t in range(1, len(session))]
    torch.testing.assert_close(found, torch.stack(wanted))


@pytest.mark.parametrize("hops", [1, 2])
def test_the_size_of_a_chunk_changes_neither_score_nor_gradient(hops: int, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = worlds.busy()
    model = fitted(corpus, hops=hops)
    batch = worlds.events_of(model, corpus, corpus.train)
    found = []
    for size in (1, 7, 10**9):
        monkeypatch.setattr(gce_gnn, "LISTENERS_PER_CHUNK", size)
        model.zero_grad()
        loss = model.loss(batch)
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in model.parameters())])
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])


def relations_of(clicks: list[int]) -> dict[tuple[int, int], int]:
    """(listener, speaker) → relation, for the whole of one session."""
    corpus = worlds.corpus_of([[[*clicks, 0]]], n_items=8)
    *_, last = worlds.events_singly(fitted(corpus), corpus, corpus.train)
    graph, _ = prefix_graph(last.prefixes(), 8)
    listener, speaker, relation = session_relations(graph)
    pairs = zip(graph.item[listener].tolist(), graph.item[speaker].tolist(), strict=True)
    return dict(zip(pairs, relation.tolist(), strict=True))


def test_relations_of_hand_examples() -> None:
    """T12 and trap 1: there and back is in-out both ways; once is in on one side and out on the other."""
    assert relations_of([1, 2]) == {(1, 1): 0, (2, 2): 0, (2, 1): 1, (1, 2): 2}
    assert relations_of([1, 2, 1]) == {(1, 1): 0, (2, 2): 0, (2, 1): 3, (1, 2): 3}
    assert relations_of([1, 2, 3, 1, 2])[1, 2] == 2, "twice the same way is still one way"
    assert relations_of([3, 3]) == {(3, 3): 0}, "a repeat is no relation of its own"
    assert relations_of([5]) == {(5, 5): 0}


def test_counts_and_their_logarithms_are_heard_differently() -> None:
    """Trap 3: raw counts enter the attention unscaled, unless log1p is asked for."""
    corpus = worlds.corpus_of([[[0, 1]] * 300 + [[0, 2]] * 2], n_items=4)
    batch = worlds.events_of(fitted(corpus), corpus, corpus.train)
    by_count, by_log = (fitted(corpus, weights=weights).encode(batch).vectors for weights in ("count", "log1p"))
    assert not torch.allclose(by_count, by_log)


def test_an_item_without_neighbours_hears_nothing() -> None:
    """Trap 4: not even item 0, nor itself."""
    corpus = worlds.corpus_of([[[0, 1, 2], [3, 1]]], n_items=6)
    model = fitted(corpus)
    batch = worlds.request_of(model, [5])
    before = model.encode(batch).vectors
    torch.testing.assert_close(before[0], by_hand(model, [5]))
    with torch.no_grad():
        model.embedding.weight[:5] += 1.0
    torch.testing.assert_close(model.encode(batch).vectors, before)


def test_no_edge_comes_from_validation_or_test() -> None:
    """Trap 5, T13: replacing every session outside train leaves the global graph as it is."""
    users = [[[0, 1, 2], [2, 3, 1], [4, 5, 0]], [[1, 2, 0], [5, 4, 3], [3, 5, 4]]]
    parts = [[TRAIN, VALIDATION, TEST]] * 2
    other = [[[0, 1, 2], [0, 5], [1, 5]], [[1, 2, 0], [2, 5], [4, 5]]]
    one, two = (fitted(worlds.corpus_of(sessions, parts, n_items=6)) for sessions in (users, other))
    assert torch.equal(one.neighbours, two.neighbours)
    assert torch.equal(one.counts, two.counts)
    assert one.statistics()["neighbours"] == 6
    assert one.statistics()["items_with_neighbours"] == 3


def entries(model: GCEGNN, item: int) -> list[tuple[int, int]]:
    """The neighbours of an item and their counts, in order."""
    row = zip(model.neighbours[item].tolist(), model.counts[item].tolist(), strict=True)
    return [(other, count) for other, count in row if count]


def test_neighbours_are_masked_or_repeated() -> None:
    """Trap 6: masked rows do not depend on the seed; repeated ones are drawn anew, from the true neighbours alone."""
    corpus = worlds.corpus_of([SESSIONS], n_items=9)
    masked = fitted(corpus, neighbours=5)
    again = worlds.fitted({"model": {"name": "gce_gnn", "dim": 6, "neighbours": 5}}, corpus, seed=7)
    assert isinstance(again, GCEGNN)
    assert torch.equal(masked.neighbours, again.neighbours)
    repeated = fitted(corpus, neighbours=5, fill="repeat")
    for item in range(9):
        true = entries(masked, item)
        assert set(entries(repeated, item)) <= set(true), "nothing but true neighbours, with their counts"
        assert len(entries(repeated, item)) == (5 if true else 0)
        if len(true) == 5:
            assert entries(repeated, item) == true, "a full row stays"
    assert len(entries(masked, 6)) == 3
    of_six = [entries(fitted(corpus, neighbours=5, fill="repeat", seed=seed), 6) for seed in range(20)]
    assert any(len(set(row)) < 3 for row in of_six), "with replacement, so that neighbours are lost"
    assert entries(masked, 8) == [], "item 8 occurs nowhere"


def test_a_repeated_neighbour_is_heard_as_often_as_it_stands_there() -> None:
    """Trap 6: the softmax runs over all the places, so a repeat shifts attention; alone it would shift nothing."""
    corpus = worlds.corpus_of([SESSIONS], n_items=9)
    masked, repeated = (fitted(corpus, neighbours=5, fill=fill) for fill in ("mask", "repeat"))
    drawn = [other for other, _ in entries(repeated, 6)]
    assert len(set(drawn)) > 1
    assert max(drawn.count(other) for other in drawn) > min(drawn.count(other) for other in drawn)
    of_masked, of_repeated = (m.encode(worlds.request_of(m, [6])).vectors[0] for m in (masked, repeated))
    torch.testing.assert_close(of_repeated, by_hand(repeated, [6]))
    assert not torch.allclose(of_repeated, of_masked)


@pytest.mark.parametrize("which", ["gcn", "local", "global"])
def test_dropout_acts_in_training_alone(which: str) -> None:
    """Trap 7, each share by itself."""
    corpus = worlds.corpus_of([SESSIONS])
    model = fitted(corpus, **{f"dropout_{which}": 0.5})
    batch = worlds.events_of(model, corpus, corpus.train)
    still = fitted(corpus).encode(batch).vectors
    torch.testing.assert_close(model.encode(batch).vectors, still)
    model.train()
    assert not torch.allclose(model.encode(batch).vectors, still)


def test_positions_count_from_the_last_click() -> None:
    """Trap 9: only the row of position 0 matters to a prefix of one click."""
    corpus = worlds.corpus_of([SESSIONS])
    model = fitted(corpus)
    batch = worlds.request_of(model, [3])
    before = model.encode(batch).vectors
    with torch.no_grad():
        model.readout.position.weight[1:] += 1.0
    torch.testing.assert_close(model.encode(batch).vectors, before)
    with torch.no_grad():
        model.readout.position.weight[0] += 1.0
    assert not torch.allclose(model.encode(batch).vectors, before)


def test_the_gate_is_not_normalised() -> None:
    """With equal gates, S is a sum over clicks, not a mean."""
    corpus = worlds.corpus_of([SESSIONS])
    model = fitted(corpus)
    with torch.no_grad():
        for parameter in (model.readout.placed.weight, model.readout.of_mean.weight):
            parameter.zero_()
    once, twice = (model.encode(worlds.request_of(model, items)).vectors for items in ([3], [3, 3]))
    torch.testing.assert_close(twice, 2 * once)


def test_parameter_count() -> None:
    """T7: V d, length d, four relations, per hop d² + 2 d + 2 d², readout 2 d² + (d² + d) + d² + d."""
    corpus = worlds.corpus_of([SESSIONS], n_items=9)
    d = 6
    wanted = 9 * d + 20 * d + 4 * d + 2 * (3 * d * d + 2 * d) + 4 * d * d + 2 * d
    assert fitted(corpus, hops=2).statistics()["parameters"] == wanted


def test_an_empty_prefix_scores_nothing() -> None:
    corpus = worlds.corpus_of([SESSIONS])
    model = fitted(corpus, hops=2)
    assert torch.equal(worlds.scores_of(model, worlds.request_of(model, [])), torch.zeros(1, 7, dtype=torch.float64))


def test_events_without_a_click_beside_others() -> None:
    """An event whose prefix is empty leaves its batch mates as they are."""
    corpus = worlds.corpus_of([SESSIONS])
    model = fitted(corpus, hops=2)
    batch = worlds.events_of(model, corpus, corpus.train)
    emptied = replace(batch, position=batch.position.index_fill(0, torch.tensor([2]), -1))
    found, wanted = model.encode(emptied).vectors, model.encode(batch).vectors
    assert torch.equal(found[2], torch.zeros(6, dtype=torch.float64))
    others = torch.arange(len(batch)) != 2
    torch.testing.assert_close(found[others], wanted[others])
