"""LESSR: session graphs that keep the order of clicks and reach far (Chen & Wong 2020).

Two graphs of every prefix, over its distinct items: the multigraph of its transitions in order of time (EOPA), and the
shortcut graph of every pair of an earlier and a later click (SGAT). Layers take turns on them, and each reads what all
layers before it gave. No user, no other session.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from segue.contract.encoder import SessionEncoder
from segue.contract.model import ModelConfig, Overrides
from segue.contract.paper_schedule import PAPER_SCHEDULE
from segue.data.batches import Batch, Window
from segue.graph.session import SessionGraph, last_nodes, prefix_graph
from segue.nn.dropout import dropout
from segue.nn.encoding import Encoding
from segue.nn.joint import BatchNorm
from segue.nn.segments import segment_softmax, segment_sum
from segue.settings.search_space import Between, Choice, Space, fixed_schedule


class LESSRConfig(ModelConfig):
    """Options of LESSR: sizes and regularisation."""

    window: Window = Window(length=20)
    """Items of the running session that are looked at."""
    dim: int = Field(128, ge=1, le=4096)
    """Size d of item vectors and of what each layer adds. The authors took 32, 64 or 128, by data set."""
    layers: int = Field(4, ge=1, le=16)
    """Number of layers, which alternate: EOPA, SGAT, EOPA, SGAT and so on."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Share of the normalised features that is dropped, wherever another node, or the session, reads them."""


class Arrivals(NamedTuple):
    """Transitions as a packed sequence: the first arrival at every node, then the second at those with two, and so on.

    source [transitions]: the node each comes from. sizes [most arrivals], on the CPU: number of nodes with that many or
    more.
    node [nodes with an arrival]: the one with the most arrivals first.
    """

    source: Tensor
    sizes: Tensor
    node: Tensor


def arrivals(graph: SessionGraph) -> Arrivals:
    """The transitions into every node, by time; parallel ones and loops count each time."""
    n_nodes = len(graph.item)
    count = torch.bincount(graph.target, minlength=n_nodes)
    by_count = torch.argsort(count, descending=True, stable=True)
    by_target = torch.argsort(graph.target, stable=True)
    target = graph.target[by_target]
    rank = torch.arange(len(target), device=target.device) - (torch.cumsum(count, 0) - count)[target]
    packed = torch.argsort(rank * n_nodes + torch.argsort(by_count)[target])
    return Arrivals(graph.source[by_target[packed]], torch.bincount(rank).cpu(), by_count[: int((count > 0).sum())])


class EOPA(nn.Module):
    """Edge-order preserving aggregation: PReLU(W_self f_v + W_neigh GRU(drop f_u for u → v by time)), f = BN(x).

    The message to a node without predecessors is zero.
    """

    def __init__(self, width: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.norm = BatchNorm(width)
        self.gru = nn.GRU(width, width)
        self.by_self = nn.Linear(width, dim, bias=False)
        self.by_neighbours = nn.Linear(width, dim, bias=False)
        self.activation = nn.PReLU(dim)
        self.dropout = dropout

    def forward(self, x: Tensor, into: Arrivals) -> Tensor:
        """Aggregate the transitions into every node, [nodes, width] → [nodes, dim]."""
        f = self.norm(x)
        message = torch.zeros_like(f)
        if len(into.source):
            features = dropout(f, self.dropout, self.training).index_select(0, into.source)
            _, state = self.gru(PackedSequence(features, into.sizes))
            message = message.index_copy(0, into.node, state[0])
        out: Tensor = self.activation(self.by_self(f) + self.by_neighbours(message))
        return out


class SGAT(nn.Module):
    """Shortcut graph attention: PReLU(Σ_u a_uv W_v f_u), a = softmax over u → v of w · σ(W_q f_u + b + W_k f_v).

    f = drop(BN(x)).
    """

    def __init__(self, width: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.norm = BatchNorm(width)
        self.query = nn.Linear(width, dim)
        self.key = nn.Linear(width, dim, bias=False)
        self.value = nn.Linear(width, dim, bias=False)
        self.score = nn.Linear(dim, 1, bias=False)
        self.activation = nn.PReLU(dim)
        self.dropout = dropout

    def forward(self, x: Tensor, shortcuts: tuple[Tensor, Tensor]) -> Tensor:
        """Attend along the shortcuts (source and target, both [shortcuts]), [nodes, width] → [nodes, dim]."""
        source, target = shortcuts
        f = dropout(self.norm(x), self.dropout, self.training)
        gate = torch.sigmoid(self.query(f).index_select(0, source) + self.key(f).index_select(0, target))
        weight = segment_softmax(self.score(gate).squeeze(1), target, len(x))
        out: Tensor = self.activation(
            segment_sum(weight[:, None] * self.value(f).index_select(0, source), target, len(x))
        )
        return out


class AttentionReadout(nn.Module):
    """s = W_h drop(BN([x_last ‖ s_g])), s_g = PReLU(W_o Σ_i a_i f_i), f = drop(BN(x)).

    a = softmax over the nodes of a session of w · σ(W_u f_i + W_v f_last + b).
    """

    def __init__(self, width: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.norm = BatchNorm(width)
        self.of_each = nn.Linear(width, dim, bias=False)
        self.of_last = nn.Linear(width, dim)
        self.score = nn.Linear(dim, 1, bias=False)
        self.out = nn.Linear(width, dim, bias=False)
        self.activation = nn.PReLU(dim)
        self.session_norm = BatchNorm(width + dim)
        self.session = nn.Linear(width + dim, dim, bias=False)
        self.dropout = dropout

    def forward(self, x: Tensor, owner: Tensor, last: tuple[Tensor, Tensor], n_events: int) -> Tensor:
        """Read out every session, [nodes, width] → [events, dim]; x_last and s_g of an event without nodes are zero.

        Args:
            owner: event of each node, [nodes].
            last: the events that have nodes, and the node of the last click of each.
        """
        f = dropout(self.norm(x), self.dropout, self.training)
        event, node = last
        of_last = segment_sum(self.of_last(f.index_select(0, node)), event, n_events)
        logit = self.score(torch.sigmoid(self.of_each(f) + of_last.index_select(0, owner))).squeeze(1)
        weight = segment_softmax(logit, owner, n_events)
        whole = self.activation(self.out(segment_sum(weight[:, None] * f, owner, n_events)))
        both = torch.cat([segment_sum(x.index_select(0, node), event, n_events), whole], dim=1)
        session: Tensor = self.session(dropout(self.session_norm(both), self.dropout, self.training))
        return session


class LESSR(SessionEncoder):
    """x ← [layer(x) ‖ x] for every layer, then the readout s; score(i) = s · E[i], ‖E[i]‖ ≤ 1.

    The authors stop after two epochs without progress on their test set, and drop the last, partial batch of an epoch;
    here epochs are chosen on validation, and every event is trained on.
    """

    Config = LESSRConfig
    config: LESSRConfig
    title: ClassVar[str] = "LESSR"
    depth: ClassVar[str | None] = "layers"
    presets: ClassVar[Mapping[str, Overrides]] = {
        "official": {"training": {"optimizer": "adamw", "batch_events": 512, "weight_decay": 1e-4, "patience": 2}},
        "paper_conditions": {"training": {"batch_events": 512, **PAPER_SCHEDULE}},
    }
    space: ClassVar[Space] = {
        "model.dim": Choice((32, 64, 96, 128, 256)),
        "model.layers": Choice((1, 2, 3, 4)),
        "model.dropout": Between(0.0, 0.5),
        "training.learning_rate": Between(1e-4, 1e-2, log=True),
        "training.weight_decay": Choice((0.0, 1e-5, 1e-4, 1e-3)),
        "training.schedule": Choice(("constant", "step")),
    }
    spaces: ClassVar[Mapping[str, Space]] = {"paper_conditions": fixed_schedule(space)}

    embedding: nn.Embedding
    layers: nn.ModuleList
    readout: AttentionReadout

    def encode(self, batch: Batch, state: Tensor | None = None) -> Encoding:
        """Session vectors s, [events, d]."""
        prefixes = batch.prefixes()
        graph, alias = prefix_graph(prefixes, self.n_items)
        x = self.embedding(graph.item)
        edges = (arrivals(graph), graph.shortcuts())
        for number, layer in enumerate(self.layers):
            x = torch.cat([layer(x, edges[number % 2]), x], dim=1)
        return Encoding(self.readout(x, graph.event, last_nodes(prefixes, alias), len(batch)))

    def item_vectors(self) -> Tensor:
        """Item vectors as they are before the layers, [items, d]."""
        return self.embedding.weight

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Two groups: matrices, with weight decay, and vectors without (biases, batch normalisation, PReLU)."""
        parameters = list(self.parameters())
        return [
            self.parameter_group(p for p in parameters if p.ndim > 1),
            self.parameter_group((p for p in parameters if p.ndim == 1), weight_decay=0.0),
        ]

    def after_step(self) -> None:
        """Project every item vector onto the unit ball, also those of items that the batch lacks."""
        with torch.no_grad():
            self.embedding.weight.renorm_(2, 0, 1.0)

    def _build_parameters(self) -> None:
        dim, layers, share = self.config.dim, self.config.layers, self.config.dropout
        self.embedding = nn.Embedding(self.n_items, dim)
        kinds = (EOPA, SGAT)
        self.layers = nn.ModuleList(kinds[n % 2](dim * (n + 1), dim, share) for n in range(layers))
        self.readout = AttentionReadout(dim * (layers + 1), dim, share)
        self.after_step()


Model = LESSR
