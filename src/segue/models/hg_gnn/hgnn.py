"""The heterogeneous graph neural network, eq. (4)-(8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from segue.graph.hetero import ExtraUsers, Field, Layer, take
from segue.graph.propagation import neighbour_mean
from segue.graph.tables import ITEM, USER, Relation
from segue.nn.dropout import dropout

Tables = dict[str, Tensor]


class HGNNLayer(nn.Module):
    """Eq. (4)-(7): a message per relation, relu(W_r [mean of neighbours ‖ self] + b_r), accumulated per node type.

    W_r [d, 2d] and b_r [d] belong to one relation and one layer. The mean of eq. (6) runs over all relations that lead
    to the node type: a relation in which a node has no neighbour still counts, with a zero neighbour vector.
    """

    def __init__(self, relations: Sequence[Relation], dim: int, accumulate: str) -> None:
        super().__init__()
        self.relations = tuple(relations)
        self.weight = nn.ModuleDict({relation.name: nn.Linear(2 * dim, dim) for relation in relations})
        self.accumulate = accumulate

    def forward(self, tables: Tables, layer: Layer) -> Tables:
        """The rows that `layer` computes, from the tables it reads. A type that hears nothing stays as it is."""
        own = {node_type: take(table, layer.rows[node_type]) for node_type, table in tables.items()}
        heard = {r.name: neighbour_mean(tables[r.source], layer.csr[r.name]) for r in self.relations}
        return {node_type: self.update(node_type, x, heard) for node_type, x in own.items()}

    def update(self, node_type: str, own: Tensor, heard: Mapping[str, Tensor]) -> Tensor:
        """Eq. (5)-(7) for nodes of one type, given the mean of their neighbours by relation."""
        messages = [self._message(r.name, heard[r.name], own) for r in self.relations if r.destination == node_type]
        if not messages:
            return own
        total = torch.stack(messages).sum(0)
        return total / len(messages) if self.accumulate == "mean" else total

    def _message(self, relation: str, neighbours: Tensor, own: Tensor) -> Tensor:
        """Eq. (5) without forming the concatenation."""
        linear = self.weight[relation]
        assert isinstance(linear, nn.Linear)
        by_neighbours, by_self = linear.weight.chunk(2, dim=1)
        return functional.relu(torch.addmm(functional.linear(own, by_self, linear.bias), neighbours, by_neighbours.t()))


@dataclass(frozen=True)
class Propagated:
    """The whole graph propagated once: the input of every layer, and the sum of eq. (8), by node type."""

    inputs: tuple[Tables, ...]
    refined: Tables


class HGNN(nn.Module):
    """Embeddings of all node types and K layers over them.

    The user table has one row more than there are known users, the unknown user's, an isolated node. Only what reaches
    an asked node type has parameters: nobody reads an attribute value after the last layer, nor a user where neither
    the session encoder nor the user term asks for one.
    """

    def __init__(
        self,
        n_nodes: Mapping[str, int],
        relations: Sequence[Relation],
        dim: int,
        alphas: Sequence[float],
        *,
        asked: Sequence[str],
        accumulate: str,
        dropout: float,
    ) -> None:
        super().__init__()
        read, by_layer = set(asked), []
        for _ in alphas[1:]:  # from the last layer to the first
            by_layer.append([relation for relation in relations if relation.destination in read])
            read |= {relation.source for relation in by_layer[-1]}
        tables = {t: nn.Parameter(torch.empty(n, dim)) for t, n in n_nodes.items() if t in read}
        self.embedding = nn.ParameterDict(tables)
        self.layers = nn.ModuleList(HGNNLayer(heard, dim, accumulate) for heard in reversed(by_layer))
        self.alphas = tuple(alphas)
        self.dropout = dropout

    def forward(self, field: Field) -> Tables:
        """Eq. (8) for the asked rows of a field, by node type."""
        tables = {node_type: take(table, field.nodes[node_type]) for node_type, table in self.embedding.items()}
        if not self.layers:
            return {node_type: self.alphas[0] * self._drop(x) for node_type, x in tables.items()}
        total = {node_type: self.alphas[0] * x for node_type, x in tables.items()}
        for hgnn, layer, alpha in zip(self.layers, field.layers, self.alphas[1:], strict=True):
            tables = hgnn({node_type: self._drop(x) for node_type, x in tables.items()}, layer)
            total = {t: take(total[t], layer.rows[t]) + alpha * x for t, x in tables.items()}
        return total

    def propagate(self, field: Field) -> Propagated:
        """The same over a full field, keeping every layer's input."""
        tables: Tables = {node_type: table.detach() for node_type, table in self.embedding.items()}
        inputs, refined = [], {node_type: self.alphas[0] * x for node_type, x in tables.items()}
        for hgnn, layer, alpha in zip(self.layers, field.layers, self.alphas[1:], strict=True):
            inputs.append(tables)
            tables = hgnn(tables, layer)
            refined = {node_type: refined[node_type] + alpha * x for node_type, x in tables.items()}
        return Propagated(tuple(inputs), refined)

    def extra_users(self, propagated: Propagated, extra: ExtraUsers) -> Tensor:
        """q of users known by a list of items, from a propagated graph: exact, since no item hears them."""
        user: Tensor = self.embedding[USER][extra.start]
        total: Tensor = self.alphas[0] * user
        for hgnn, tables, alpha in zip(self.layers, propagated.inputs, self.alphas[1:], strict=True):
            assert isinstance(hgnn, HGNNLayer)
            listened = neighbour_mean(tables[ITEM], extra.items)
            heard = {
                r.name: listened if r.source == ITEM else torch.zeros_like(user)
                for r in hgnn.relations
                if r.destination == USER
            }
            user = hgnn.update(USER, user, heard)
            total = total + alpha * user
        return total

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)
