"""The heterogeneous graph neural network, eq. (4)-(8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from segue.graph.hetero import ExtraUsers, Field, Layer, take
from segue.graph.propagation import Csr, neighbour_mean
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
        """Compute the rows of `layer` from the tables it reads; a node type without incoming edges stays as it is."""
        own = {t: take(table, layer.rows[t]) for t, table in tables.items() if t in layer.rows}
        return {node_type: self.update(node_type, x, tables, layer) for node_type, x in own.items()}

    def update(self, node_type: str, own: Tensor, tables: Tables, layer: Layer) -> Tensor:
        """New vectors of the nodes of one type, eq. (5)-(7)."""
        heard = [r for r in self.relations if r.destination == node_type]
        if not heard:
            return own
        messages = [self._message(r.name, neighbour_mean(tables[r.source], layer.csr[r.name]), own) for r in heard]
        total = torch.stack(messages).sum(0)
        return total / len(messages) if self.accumulate == "mean" else total

    def _message(self, relation: str, neighbours: Tensor, own: Tensor) -> Tensor:
        linear = self.weight[relation]
        assert isinstance(linear, nn.Linear)
        return _message(linear, neighbours, own)


class SharedLayer(nn.Module):
    """The layer of the authors' published code: one homogeneous graph, one mean convolution for all of it.

    A node hears the neighbours of all relations, and itself, in a single mean; relu(W [mean ‖ self] + b) with one
    W [d, 2d] and b [d] for every relation and node type.
    """

    def __init__(self, relations: Sequence[Relation], dim: int) -> None:
        super().__init__()
        self.relations = tuple(relations)
        self.weight = nn.Linear(2 * dim, dim)

    def forward(self, tables: Tables, layer: Layer) -> Tables:
        """Compute the rows of `layer` from the tables it reads."""
        own = {t: take(table, layer.rows[t]) for t, table in tables.items() if t in layer.rows}
        return {t: _message(self.weight, self._mean(t, x, tables, layer), x) for t, x in own.items()}

    def _mean(self, node_type: str, own: Tensor, tables: Tables, layer: Layer) -> Tensor:
        """Mean over each node itself and all its neighbours, [rows, d]."""
        total, count = own, own.new_ones(len(own), 1)
        for relation in self.relations:
            if relation.destination == node_type:
                csr = layer.csr[relation.name]
                degree = csr.offsets.diff().to(own.dtype)[:, None]
                total = total + degree * neighbour_mean(tables[relation.source], csr)
                count = count + degree
        return total / count


def _message(linear: nn.Linear, neighbours: Tensor, own: Tensor) -> Tensor:
    """One message of eq. (5), without forming the concatenation."""
    by_neighbours, by_self = linear.weight.chunk(2, dim=1)
    return functional.relu(torch.addmm(functional.linear(own, by_self, linear.bias), neighbours, by_neighbours.t()))


@dataclass(frozen=True)
class Propagated:
    """The whole graph propagated once: the input of every layer, and the sum of eq. (8), by node type."""

    inputs: tuple[Tables, ...]
    refined: Tables


class HGNN(nn.Module):
    """Embeddings of all node types and K layers over them.

    The user table has one row more than there are known users: the unknown user, an isolated node. Only what reaches a
    node type in `asked` has parameters: nobody reads an attribute value after the last layer, nor a user where neither
    the session encoder nor the user term needs one. `kept`: node types that have embeddings in any case.
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
        shared: bool = False,
        kept: Sequence[str] = (),
    ) -> None:
        super().__init__()
        read, by_layer = set(asked), []
        for _ in alphas[1:]:  # from the last layer to the first
            by_layer.append([relation for relation in relations if relation.destination in read])
            read |= {relation.source for relation in by_layer[-1]}
        tables = {t: nn.Parameter(torch.empty(n, dim)) for t, n in n_nodes.items() if t in {*read, *kept}}
        self.embedding = nn.ParameterDict(tables)
        self.layers = nn.ModuleList(
            SharedLayer(heard, dim) if shared else HGNNLayer(heard, dim, accumulate) for heard in reversed(by_layer)
        )
        self.alphas = tuple(alphas)
        self.dropout = dropout

    def forward(self, field: Field) -> Tables:
        """Sum over layers, eq. (8), for the rows that a field computes, by node type."""
        tables = {node_type: take(table, field.nodes[node_type]) for node_type, table in self.embedding.items()}
        if not self.layers:
            return {node_type: self.alphas[0] * self._drop(x) for node_type, x in tables.items()}
        total = {node_type: self.alphas[0] * x for node_type, x in tables.items()}
        for hgnn, layer, alpha in zip(self.layers, field.layers, self.alphas[1:], strict=True):
            tables = hgnn({node_type: self._drop(x) for node_type, x in tables.items()}, layer)
            total = {t: take(total[t], layer.rows[t]) + alpha * x for t, x in tables.items()}
        return total

    def propagate(self, field: Field) -> Propagated:
        """Propagate a full field, and keep the input of every layer."""
        tables: Tables = {node_type: table.detach() for node_type, table in self.embedding.items()}
        inputs, refined = [], {node_type: self.alphas[0] * x for node_type, x in tables.items()}
        for hgnn, layer, alpha in zip(self.layers, field.layers, self.alphas[1:], strict=True):
            inputs.append(tables)
            tables = hgnn(tables, layer)
            refined = {node_type: refined[node_type] + alpha * x for node_type, x in tables.items()}
        return Propagated(tuple(inputs), refined)

    def extra_users(self, propagated: Propagated, extra: ExtraUsers) -> Tensor:
        """Vectors q of users known by a list of items, from a propagated graph: exact, since no item hears them."""
        user: Tensor = self.embedding[USER][extra.start]
        total: Tensor = self.alphas[0] * user
        nobody = torch.zeros_like(extra.items.offsets), extra.items.indices[:0]
        for hgnn, tables, alpha in zip(self.layers, propagated.inputs, self.alphas[1:], strict=True):
            assert isinstance(hgnn, HGNNLayer | SharedLayer)
            heard = {
                r.name: extra.items if r.source == ITEM else Csr(*nobody, len(tables[r.source]))
                for r in hgnn.relations
                if r.destination == USER
            }
            user = hgnn({**tables, USER: user}, Layer(heard, {USER: slice(None)}))[USER]
            total = total + alpha * user
        return total

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)
