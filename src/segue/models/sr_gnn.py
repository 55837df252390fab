"""SR-GNN: a gated graph neural network over the items of the running session (Wu et al. 2019).

The prefix of every event is a directed graph of its own, of distinct items and binary edges; no user, no other session.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from segue.contract.encoder import SessionEncoder
from segue.contract.model import ModelConfig, Overrides
from segue.contract.paper_schedule import PAPER_SCHEDULE
from segue.data.batches import Batch, Window
from segue.graph.propagation import Csr, neighbour_mean
from segue.graph.session import SessionGraph, last_nodes, prefix_graph
from segue.nn.encoding import Encoding
from segue.nn.segments import segment_sum
from segue.settings.search_space import Between, Choice, Space, fixed_schedule


class SRGNNConfig(ModelConfig):
    """Options of SR-GNN: its sizes."""

    window: Window = Window(length=20)
    """Items of the running session that are looked at."""
    dim: int = Field(100, ge=1, le=4096)
    """Size d of item vectors and node states."""
    steps: int = Field(1, ge=0, le=16)
    """Propagation steps, all with the same weights; 0: no graph, the attention reads the item vectors themselves."""


class GatedPropagation(nn.Module):
    """One step, eq. (1)-(5): x' = GRU([M_in (x W_i + c_i) + b_i ‖ M_out (x W_o + c_o) + b_o], x).

    M_in and M_out are the means over the distinct predecessors and successors of a node; a node without any hears the
    bias b alone. The update gate z of ``GRUCell`` keeps the old state where the paper's takes the new one, which is the
    same family of functions. Its reset gate acts after the recurrent product, r ⊙ (U v), as in the authors' program;
    eq. (4) of the paper has U (r ⊙ v), which is another family.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.incoming = nn.Linear(dim, dim)
        self.outgoing = nn.Linear(dim, dim)
        self.bias = nn.Parameter(torch.empty(2 * dim))
        self.gru = nn.GRUCell(2 * dim, dim)

    def forward(self, x: Tensor, predecessors: Csr, successors: Csr) -> Tensor:
        """Propagate node states by one step, [nodes, d] → [nodes, d]."""
        heard = [neighbour_mean(self.incoming(x), predecessors), neighbour_mean(self.outgoing(x), successors)]
        state: Tensor = self.gru(torch.cat(heard, dim=1) + self.bias, x)
        return state


class SoftAttention(nn.Module):
    """Eq. (6)-(7): α_i = q · σ(W_1 s_l + W_2 x_i + c), s = W_3 [Σ_i α_i x_i ‖ s_l].

    The sum runs over clicks, and α is not normalised: a longer session gives a longer vector.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.of_last = nn.Linear(dim, dim)
        self.of_each = nn.Linear(dim, dim)
        self.query = nn.Linear(dim, 1, bias=False)
        self.transform = nn.Linear(2 * dim, dim)

    def forward(self, x: Tensor, graph: SessionGraph, last: Tensor) -> Tensor:
        """Session vectors [events, d] from node states [nodes, d] and that of the last click [events, d] (or 0)."""
        gate = torch.sigmoid(self.of_last(last).index_select(0, graph.event) + self.of_each(x))
        # Clicks on the same item share state and α, so a node counts as often as it was clicked.
        clicks = torch.bincount(graph.node, minlength=len(x))[:, None]
        whole = segment_sum(clicks * self.query(gate) * x, graph.event, len(last))
        session: Tensor = self.transform(torch.cat([whole, last], dim=1))
        return session


class SRGNN(SessionEncoder):
    """score(i) = s · E[i], with the item vectors that the nodes start from.

    Preset ``official`` is github.com/CRIPAC-DIG/SR-GNN (e21cfa4); docs/paper-map.md says what it does not copy. In the
    authors' loop the step of the learning rate comes before the epoch. Under their version of PyTorch (0.4.0) the rate
    then drops after three epochs, as in the preset; from PyTorch 1.1 on it would drop one epoch earlier.
    """

    Config = SRGNNConfig
    config: SRGNNConfig
    title: ClassVar[str] = "SR-GNN"
    item_table: ClassVar[str | None] = "embedding"
    depth: ClassVar[str | None] = "steps"
    presets: ClassVar[Mapping[str, Overrides]] = {
        "official": {
            "training": {
                "batch_events": 100, "weight_decay": 1e-5, "schedule": "step", "decay_every": 3, "patience": 10,
            },
        },
        "paper_conditions": {"training": {"batch_events": 512, **PAPER_SCHEDULE}},
    }  # fmt: skip
    space: ClassVar[Space] = {
        "model.dim": Choice((32, 64, 96, 100, 128, 256)),
        "model.steps": Choice((1, 2, 3, 4)),
        "training.learning_rate": Between(1e-4, 1e-2, log=True),
        "training.weight_decay": Choice((0.0, 1e-6, 1e-5, 1e-4)),
        "training.schedule": Choice(("step", "constant")),
    }
    spaces: ClassVar[Mapping[str, Space]] = {"paper_conditions": fixed_schedule(space)}

    embedding: nn.Embedding
    propagation: GatedPropagation | None
    attention: SoftAttention

    def encode(self, batch: Batch, state: Tensor | None = None) -> Encoding:
        """Session vectors s of eq. (7), [events, d]; only the bias of W_3 after an empty prefix."""
        prefixes = batch.prefixes()
        graph, alias = prefix_graph(prefixes, self.n_items)
        x = self._states(graph)
        event, node = last_nodes(prefixes, alias)
        last = segment_sum(x.index_select(0, node), event, len(batch))
        return Encoding(self.attention(x, graph, last))

    def item_vectors(self) -> Tensor:
        """Item vectors as they are before propagation, [items, d]."""
        return self.embedding.weight

    def _states(self, graph: SessionGraph) -> Tensor:
        """Node states after all steps, [nodes, d]."""
        x: Tensor = self.embedding(graph.item)
        if self.propagation is None:
            return x
        predecessors, successors = neighbours(graph)
        for _ in range(self.config.steps):
            x = self.propagation(x, predecessors, successors)
        return x

    def _build_parameters(self) -> None:
        dim = self.config.dim
        self.embedding = nn.Embedding(self.n_items, dim)
        self.propagation = GatedPropagation(dim) if self.config.steps else None
        self.attention = SoftAttention(dim)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(dim**-0.5), dim**-0.5)


def neighbours(graph: SessionGraph) -> tuple[Csr, Csr]:
    """Predecessors and successors of every node. Edges are binary; a click on the same item again is a loop."""
    n_nodes = len(graph.item)
    return (
        Csr.from_pairs(graph.target, graph.source, n_nodes, n_nodes),
        Csr.from_pairs(graph.source, graph.target, n_nodes, n_nodes),
    )


Model = SRGNN
