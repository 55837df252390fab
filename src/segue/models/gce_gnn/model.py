"""GCE-GNN: the graph of the running session beside a global graph of all train sessions (Wang et al. 2020).

What an item hears from its global neighbours is weighted by the session that asks. No user, no earlier session.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from segue.contract.encoder import SessionEncoder
from segue.contract.model import ModelConfig, Need, Overrides
from segue.contract.paper_schedule import PAPER_SCHEDULE
from segue.data.batches import Batch, Window
from segue.data.corpus import Corpus
from segue.graph.session import SessionGraph, prefix_graph
from segue.models.gce_gnn.neighbours import Hop, nearest_items, reach
from segue.nn.dropout import dropout
from segue.nn.encoding import Encoding
from segue.nn.segments import segment_softmax, segment_sum
from segue.settings.search_space import Between, Choice, Space, fixed_schedule

SLOPE = 0.2
"""Slope of every leaky ReLU."""
LISTENERS_PER_CHUNK = 2048
"""Nodes whose neighbours' vectors exist at the same time: they then stay in the cache, in training too."""


class GCEGNNConfig(ModelConfig):
    """Options of GCE-GNN: sizes, the global graph, regularisation."""

    window: Window = Window(length=20)
    """Items of the running session that are looked at."""
    dim: int = Field(100, ge=1, le=4096)
    """Size d of item vectors and of everything computed from them."""
    hops: int = Field(1, ge=1, le=3)
    """Number of hops that the global graph is read; each hop has parameters of its own."""
    neighbours: int = Field(12, ge=1, le=256)
    """Global neighbours kept per item, the most frequent ones."""
    distance: int = Field(3, ge=1, le=100)
    """ε: clicks of a session that lie at most this far apart are neighbours."""
    fill: Literal["mask", "repeat"] = "mask"
    """Treatment of an item with fewer neighbours: "mask" leaves the places empty; "repeat", as the authors do, samples
    all places among the neighbours it has, with replacement, so that some may be lost."""
    weights: Literal["count", "log1p"] = "count"
    """Form in which the attention sees how often two items were neighbours: the count itself, or log(1 + count)."""
    dropout_gcn: float = Field(0.2, ge=0, lt=1)
    """Share of the input of each hop's transformation that is dropped."""
    dropout_local: float = Field(0.0, ge=0, lt=1)
    """Share of the session graph's item vectors that is dropped."""
    dropout_global: float = Field(0.5, ge=0, lt=1)
    """Share of the global graph's item vectors that is dropped."""


class GlobalAttention(nn.Module):
    """Global level: π_ij = softmax_j q · LeakyReLU(W_1 [s ⊙ h_j ‖ w_ij]), h'_i = ReLU(W_2 [h_i ‖ Σ_j π_ij h_j]).

    W_1 is kept as its columns for s ⊙ h_j, applied once per node, and the one for w_ij, so no edge is concatenated.
    """

    def __init__(self, dim: int, dropout_gcn: float) -> None:
        super().__init__()
        self.project = nn.Linear(dim, dim, bias=False)
        self.of_weight = nn.Parameter(torch.empty(dim))
        self.query = nn.Parameter(torch.empty(dim))
        self.transform = nn.Linear(2 * dim, dim, bias=False)
        self.dropout = dropout_gcn

    def forward(self, h: Tensor, summary: Tensor, hop: Hop, weight: Tensor) -> Tensor:
        """New states of the listeners [listeners, d], from all nodes [wider, d] and the sessions [events, d].

        `weight` [listeners, size] is w. What exists only per edge is computed again for the backward pass.
        """
        projected = self.project(h * summary.index_select(0, hop.event))
        nodes, listeners = _chunks(hop)
        places, weights = torch.split(hop.near, listeners), torch.split(weight, listeners)
        heard, first = [h[:0]], 0
        for *part, near, w in zip(torch.split(h, nodes), torch.split(projected, nodes), places, weights, strict=True):
            heard.append(checkpoint(self._heard, *part, near - first, w, use_reentrant=False, preserve_rng_state=False))
            first += len(part[0])
        both = torch.cat([h.index_select(0, hop.own), torch.cat(heard)], dim=1)
        return torch.relu(self.transform(dropout(both, self.dropout, self.training)))

    def _heard(self, h: Tensor, projected: Tensor, near: Tensor, weight: Tensor) -> Tensor:
        """Σ_j π_ij h_j, [listeners, d]; a weight of 0 is no neighbour, and a node without any hears zeros."""
        flat = near.flatten()
        edges = projected.index_select(0, flat).view(*near.shape, -1) + weight[:, :, None] * self.of_weight
        logits = functional.leaky_relu(edges, SLOPE) @ self.query
        present = weight > 0
        share = logits.masked_fill(~present, torch.finfo(h.dtype).min).softmax(1) * present
        return torch.bmm(share[:, None], h.index_select(0, flat).view(*near.shape, -1)).squeeze(1)


def _chunks(hop: Hop) -> tuple[list[int], list[int]]:
    """Numbers of nodes and listeners in chunks of whole events, about LISTENERS_PER_CHUNK listeners per chunk."""
    listening = hop.event.index_select(0, hop.own)
    runs = (torch.searchsorted(listening, event) // LISTENERS_PER_CHUNK for event in (hop.event, listening))
    nodes, listeners = (torch.unique_consecutive(run, return_counts=True)[1].tolist() for run in runs)
    return nodes, listeners


class LocalAttention(nn.Module):
    """Session level: α_ij = softmax_j LeakyReLU(a_r · (h_i ⊙ h_j)) over an item itself and those clicked next to it."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.of_relation = nn.Parameter(torch.empty(4, dim))
        """Weight vectors a_r of the relations self, in, out, in-out, [4, d]."""

    def forward(self, h: Tensor, graph: SessionGraph) -> Tensor:
        """Attend inside every session graph, [nodes, d] → [nodes, d]."""
        listener, speaker, relation = session_relations(graph)
        near = h.index_select(0, speaker)
        product = h.index_select(0, listener) * near * self.of_relation.index_select(0, relation)
        share = segment_softmax(functional.leaky_relu(product.sum(1), SLOPE), listener, len(h))
        return segment_sum(share[:, None] * near, listener, len(h))


def session_relations(graph: SessionGraph) -> tuple[Tensor, Tensor, Tensor]:
    """Every linked pair once in each direction, and every node with itself: listener, speaker, relation, all [pairs].

    Relation 0: the node itself; 1: the speaker is clicked before the listener; 2: after; 3: both.
    """
    source, target, _ = graph.distinct_edges()
    apart = source != target  # a repeated click adds nothing to the relation with itself
    source, target = source[apart], target[apart]
    itself = torch.arange(len(graph.item), device=source.device)
    before, after = torch.ones_like(source), torch.full_like(source, 2)
    listener, speaker = torch.cat([itself, target, source]), torch.cat([itself, source, target])
    n_nodes = max(len(itself), 1)
    pair, place = torch.unique(listener * n_nodes + speaker, return_inverse=True)
    relation = torch.zeros_like(pair).index_add(0, place, torch.cat([torch.zeros_like(itself), before, after]))
    return pair // n_nodes, pair % n_nodes, relation


class PositionReadout(nn.Module):
    """Readout: β_i = q · σ(W_4 tanh(W_3 [h_i ‖ p_{l-i}]) + W_5 mean(h) + b), S = Σ_i β_i h_i over clicks.

    Positions count from the last click, 0; β is not normalised.
    """

    def __init__(self, dim: int, length: int) -> None:
        super().__init__()
        self.position = nn.Embedding(length, dim)
        self.placed = nn.Linear(2 * dim, dim, bias=False)
        self.of_each = nn.Linear(dim, dim)
        self.of_mean = nn.Linear(dim, dim, bias=False)
        self.query = nn.Parameter(torch.empty(dim))

    def forward(self, h: Tensor, event: Tensor, reversed_position: Tensor, lengths: Tensor) -> Tensor:
        """Read out clicks [cells, d] of prefixes with these lengths [events, 1] → [events, d]; zero without clicks."""
        mean = segment_sum(h, event, len(lengths)) / lengths
        placed = torch.tanh(self.placed(torch.cat([h, self.position(reversed_position)], dim=1)))
        gate = torch.sigmoid(self.of_each(placed) + self.of_mean(mean).index_select(0, event))
        return segment_sum((gate @ self.query)[:, None] * h, event, len(lengths))


class GCEGNN(SessionEncoder):
    """score(i) = S · E[i]; h = local + global item vectors, both from E.

    Preset ``official`` is github.com/CCIIPLab/GCE-GNN (2125753); docs/paper-map.md says what it does not copy.
    """

    Config = GCEGNNConfig
    config: GCEGNNConfig
    title: ClassVar[str] = "GCE-GNN"
    depth: ClassVar[str | None] = "hops"
    deepest: ClassVar[int] = 2
    presets: ClassVar[Mapping[str, Overrides]] = {
        # Two hops and the default shares dropped are the authors' for Diginetica. Not theirs: fill. Where they "repeat"
        # neighbours, the seed decides which of them weigh more.
        "official": {
            "model": {"hops": 2, "fill": "mask"},
            "training": {
                "batch_events": 100, "weight_decay": 1e-5, "schedule": "step", "decay_every": 3,
                "max_epochs": 20, "patience": 3, "shuffle": "events",
            },
        },
        "paper_conditions": {"training": {"batch_events": 512, **PAPER_SCHEDULE}},
    }  # fmt: skip
    space: ClassVar[Space] = {
        "model.dim": Choice((32, 64, 96, 100, 128, 256)),
        "model.hops": Choice((1, 2)),
        "model.weights": Choice(("count", "log1p")),
        "model.dropout_gcn": Between(0.0, 0.8),
        "model.dropout_local": Between(0.0, 0.8),
        "model.dropout_global": Between(0.0, 0.8),
        "training.learning_rate": Between(1e-4, 1e-2, log=True),
        "training.weight_decay": Choice((0.0, 1e-6, 1e-5, 1e-4)),
        "training.schedule": Choice(("step", "constant")),
    }
    spaces: ClassVar[Mapping[str, Space]] = {"paper_conditions": fixed_schedule(space)}

    embedding: nn.Embedding
    neighbours: Tensor
    counts: Tensor

    @property
    def needs(self) -> frozenset[Need]:
        """Needs a global graph."""
        return frozenset({"graph"})

    def fit(self, corpus: Corpus) -> None:
        """Count the neighbours in train sessions and build the parameters."""
        super().fit(corpus)
        config = self.config
        table = nearest_items(corpus.train, corpus.n_items, size=config.neighbours, distance=config.distance)
        self.neighbours, self.counts = torch.from_numpy(table.items), torch.from_numpy(table.counts)
        if config.fill == "repeat":
            self._repeat_neighbours()

    @property
    def bounds(self) -> Mapping[str, tuple[float, float]]:
        """Bounds of what is stored beside the parameters."""
        return {"neighbours": (0, self.n_items - 1), "counts": (0, math.inf)}

    def encode(self, batch: Batch, state: Tensor | None = None) -> Encoding:
        """Session vectors S, [events, d]; zero after an empty prefix."""
        prefixes = batch.prefixes()
        graph, _ = prefix_graph(prefixes, self.n_items)
        e = self.embedding(graph.item)
        lengths = prefixes.mask.sum(1, keepdim=True).clamp(min=1)
        clicks = torch.bincount(graph.node, minlength=len(e))[:, None]
        summary = segment_sum(clicks * e, graph.event, len(batch)) / lengths
        local = dropout(self.local(e, graph), self.config.dropout_local, self.training)
        around = dropout(self._global(graph, summary), self.config.dropout_global, self.training)
        event = graph.event.index_select(0, graph.node)
        clicked = (local + around).index_select(0, graph.node)
        return Encoding(self.readout(clicked, event, prefixes.reversed_position[prefixes.mask], lengths))

    def item_vectors(self) -> Tensor:
        """Item vectors as they are before any graph, [items, d]."""
        return self.embedding.weight

    def statistics(self) -> dict[str, Any]:
        """Size of the network, and of the global graph."""
        kept = self.counts > 0
        return {
            **super().statistics(),
            "neighbours": int(kept.sum()),
            "items_with_neighbours": int(kept.any(1).sum()),
        }

    def _global(self, graph: SessionGraph, summary: Tensor) -> Tensor:
        """Item vectors after all hops, [nodes, d]; the outermost nodes speak first."""
        hops: list[Hop] = []
        event, item = graph.event, graph.item
        for _ in self.hops:
            hops.append(reach(event, item, self.neighbours, self.counts))
            event, item = hops[-1].event, hops[-1].item
        h: Tensor = self.embedding(item)
        for attention, step in zip(self.hops, reversed(hops), strict=True):
            weight = step.counts.to(h.dtype)
            h = attention(h, summary, step, weight.log1p() if self.config.weights == "log1p" else weight)
        return h

    def _repeat_neighbours(self) -> None:
        """Sample the rows of items with few neighbours among those with replacement, once and for all."""
        kept = (self.counts > 0).sum(1, keepdim=True)
        drawn = torch.randint(2**31, self.counts.shape) % kept.clamp(min=1)
        place = torch.arange(self.config.neighbours)
        chosen = torch.where(kept < len(place), drawn, place)
        self.neighbours, self.counts = self.neighbours.gather(1, chosen), self.counts.gather(1, chosen)

    def _build_parameters(self) -> None:
        config, dim = self.config, self.config.dim
        self.embedding = nn.Embedding(self.n_items, dim)
        self.local = LocalAttention(dim)
        self.hops = nn.ModuleList(GlobalAttention(dim, config.dropout_gcn) for _ in range(config.hops))
        self.readout = PositionReadout(dim, config.window.length)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(dim**-0.5), dim**-0.5)
        empty = torch.zeros(self.n_items, config.neighbours, dtype=torch.int32)
        self.register_buffer("neighbours", empty)
        self.register_buffer("counts", empty.clone())


Model = GCEGNN
