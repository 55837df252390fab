"""The heterogeneous graph in torch, and the part of it that a batch needs.

A `Field` says which rows each layer of eq. (4)-(7) computes and which rows of the layer before it reads. The same
propagation code runs on the whole graph (`full_field`) and on the part that reaches the wanted nodes
(`receptive_field`); values and gradients of the wanted rows are equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from segue.data.stored import Layout, check_arrays, check_rows
from segue.graph.propagation import Csr
from segue.graph.tables import ITEM, USER, EdgeTables, Relation


@dataclass(frozen=True)
class HeteroGraph:
    """One CSR per relation: rows are destination nodes, columns source nodes.

    Attributes:
        n_nodes: node type → number of nodes; the last user is the unknown user, a node without edges.
        csr: relation → neighbour lists; the paper's relations first, then attributes by name.
    """

    n_nodes: Mapping[str, int]
    csr: Mapping[str, Csr]

    @classmethod
    def from_edges(cls, tables: EdgeTables, *, parallel: bool = False) -> HeteroGraph:
        """Graph of the edge tables, on the CPU.

        With `parallel`, an edge that was counted more than once exists as often, so that a mean over neighbours is
        weighted by frequency."""
        csr = {}
        for relation in sorted(tables.relations, key=lambda relation: relation.rank):
            edges = tables.edges[relation.name].repeated() if parallel else tables.edges[relation.name]
            offsets, ids = torch.from_numpy(edges.offsets), torch.from_numpy(edges.ids)
            csr[relation.name] = Csr(offsets, ids.long(), tables.n_nodes[relation.source])
        return cls(dict(tables.n_nodes), csr)

    @property
    def relations(self) -> tuple[Relation, ...]:
        """The kinds of edges."""
        return tuple(Relation.named(name) for name in self.csr)

    @property
    def device(self) -> torch.device:
        """Device of the lists."""
        return next((csr.offsets.device for csr in self.csr.values()), torch.device("cpu"))

    def arrays(self) -> dict[str, Tensor]:
        """Arrays to store: ``TYPE/nodes`` [1], ``RELATION/offsets`` int64, ``RELATION/indices`` int32."""
        arrays = {f"{node_type}/nodes": torch.tensor([n]) for node_type, n in self.n_nodes.items()}
        for name, csr in self.csr.items():
            arrays[f"{name}/offsets"] = csr.offsets.cpu()
            arrays[f"{name}/indices"] = csr.indices.to("cpu", torch.int32)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor], relations: Sequence[str], n_items: int, n_users: int) -> Self:
        """Graph from what :meth:`arrays` returned.

        Args:
            relations: names of the relations that it has.
            n_users: known users.

        Raises ValueError when an array has another form, or there are others.
        """
        kinds = sorted((Relation.named(name) for name in dict.fromkeys(relations)), key=lambda relation: relation.rank)
        types = dict.fromkeys((ITEM, USER, *(end for kind in kinds for end in (kind.source, kind.destination))))
        layouts = {f"{node_type}/nodes": Layout(torch.int64, (1,), 0, 2**31 - 1) for node_type in types}
        check_arrays({name: array for name, array in arrays.items() if name in layouts}, layouts)
        n_nodes = {node_type: int(arrays[f"{node_type}/nodes"]) for node_type in types}
        if (n_nodes[ITEM], n_nodes[USER]) != (n_items, n_users + 1):
            raise ValueError(
                f"the graph has {n_nodes[ITEM]:,} items and {n_nodes[USER]:,} users, expected {n_items:,} and"
                f" {n_users + 1:,}"
            )
        for kind in kinds:
            layouts[f"{kind.name}/offsets"] = Layout(torch.int64, (n_nodes[kind.destination] + 1,))
            layouts[f"{kind.name}/indices"] = Layout(torch.int32, (None,), 0, n_nodes[kind.source] - 1)
        check_arrays(arrays, layouts)
        csr = {}
        for kind in kinds:
            offsets, indices = f"{kind.name}/offsets", f"{kind.name}/indices"
            check_rows(arrays, offsets, indices)
            csr[kind.name] = Csr(arrays[offsets], arrays[indices].long(), n_nodes[kind.source])
        return cls(n_nodes, csr)

    def to(self, device: torch.device | str) -> HeteroGraph:
        """Copy of the graph on another device."""
        return HeteroGraph(self.n_nodes, {name: csr.to(device) for name, csr in self.csr.items()})


@dataclass(frozen=True)
class ExtraUsers:
    """Users known by a list of items, beside those of the graph: new users with a history, rolling histories.

    They hear items alone and no node of a user attribute, since a new user has none that is known. A known user whose
    history has rolled on loses the attributes that their own row of the graph hears.

    Attributes:
        items: the distinct items of each extra user, CSR [extra, n_items]; see ``Csr.from_pairs``.
        start: int64 [extra], the row of the user embedding table each starts from: ``n_users`` for a new user (the
            unknown user's row), a known user's own row for a rolling history.
    """

    items: Csr
    start: Tensor


Rows = slice | Tensor


def take(table: Tensor, rows: Rows) -> Tensor:
    """Rows of a table [n, dim]; a slice is a view and costs nothing."""
    return table[rows] if isinstance(rows, slice) else table.index_select(0, rows)


@dataclass(frozen=True)
class Layer:
    """One layer of eq. (4)-(7).

    Attributes:
        csr: relation → neighbour lists; rows are the nodes the layer computes, columns rows of its input tables.
        rows: node type → rows of the computed nodes themselves in the input tables (for the ``|| P`` of eq. 5,
            and to carry the sum of eq. 8 along).
    """

    csr: Mapping[str, Csr]
    rows: Mapping[str, Rows]


@dataclass(frozen=True)
class Field:
    """The rows that each layer computes.

    Attributes:
        nodes: node type → rows of the embedding tables that the first layer reads; use `take`.
        layers: first to last. The last computes exactly the wanted rows: items in the given order; extra users, then
            users, in the given order.
    """

    nodes: Mapping[str, Rows]
    layers: tuple[Layer, ...]


def full_field(graph: HeteroGraph, layers: int) -> Field:
    """Every layer computes every node; local numbers are the graph's own."""
    everything: dict[str, Rows] = {node_type: slice(None) for node_type in graph.n_nodes}
    return Field(everything, (Layer(graph.csr, everything),) * layers)


def receptive_field(
    graph: HeteroGraph,
    items: Tensor,
    users: Tensor,
    layers: int,
    extra: ExtraUsers | None = None,
    whole_above: float = 0.5,
) -> Field:
    """The field that reaches the wanted nodes in `layers` steps; their values and gradients are exact.

    Args:
        items: int64 [wanted items], distinct. users: int64 [wanted users], distinct; ``n_users`` is the unknown user.
        extra: further users, all of them wanted; their rows come before those of `users`.
        whole_above: once a layer needs more than this share of all nodes it takes them all, in the graph's own
            numbers, with the transposed lists that the graph keeps: this spares renumbering and gathering.
    """
    nearest = _Nodes(graph, {ITEM: items, USER: users}, extra)
    steps: list[Layer] = []
    for done in range(layers):
        heard = {r.name: nearest.lists(r) for r in graph.relations}
        wider = nearest.with_neighbours(heard)
        if extra is None and wider.count > whole_above * sum(graph.n_nodes.values()):
            whole = full_field(graph, layers - done - 1)
            return Field(whole.nodes, (*whole.layers, Layer(heard, dict(nearest.ids)), *reversed(steps)))
        steps.append(Layer(wider.renumbered(heard), nearest.prefix()))
        nearest = wider
    return Field(nearest.embedding_rows(), tuple(reversed(steps)))


class _Nodes:
    """A growing set of nodes with local numbers: extra users first, then nodes in the order of their arrival."""

    def __init__(self, graph: HeteroGraph, ids: Mapping[str, Tensor], extra: ExtraUsers | None) -> None:
        none = torch.empty(0, dtype=torch.int64, device=graph.device)
        self.graph, self.extra = graph, extra
        self.ids = {node_type: ids.get(node_type, none) for node_type in graph.n_nodes}

    @property
    def count(self) -> int:
        return sum(len(ids) for ids in self.ids.values())

    def _before(self, node_type: str) -> int:
        return self.extra.items.n_rows if self.extra is not None and node_type == USER else 0

    def lists(self, relation: Relation) -> Csr:
        """Neighbour lists of these nodes, in the graph's numbers."""
        csr = self.graph.csr[relation.name].select(self.ids[relation.destination])
        if self.extra is None or relation.destination != USER:
            return csr
        items = self.extra.items
        silent = Csr(torch.zeros_like(items.offsets), items.indices[:0], csr.n_columns)
        return csr.beneath(items if relation.source == ITEM else silent)

    def with_neighbours(self, heard: Mapping[str, Csr]) -> _Nodes:
        """The set grown by the nodes that its nodes hear; new ones come last, by number."""
        wider = {}
        for node_type, ids in self.ids.items():
            fresh = torch.zeros(self.graph.n_nodes[node_type], dtype=torch.bool, device=ids.device)
            for relation in self.graph.relations:
                if relation.source == node_type:
                    fresh[heard[relation.name].indices] = True
            fresh[ids] = False
            wider[node_type] = torch.cat([ids, fresh.nonzero().squeeze(1)])
        return _Nodes(self.graph, wider, self.extra)

    def renumbered(self, heard: Mapping[str, Csr]) -> dict[str, Csr]:
        """Neighbour lists with their columns changed from graph numbers to local numbers."""
        number = {}
        for node_type, ids in self.ids.items():
            before = self._before(node_type)
            number[node_type] = ids.new_empty(self.graph.n_nodes[node_type])
            number[node_type][ids] = torch.arange(before, before + len(ids), device=ids.device)
        return {
            r.name: heard[r.name].relabelled(number[r.source], self._before(r.source) + len(self.ids[r.source]))
            for r in self.graph.relations
        }

    def prefix(self) -> dict[str, Rows]:
        """Rows of these nodes in any set grown from them: they come first."""
        return {t: slice(0, self._before(t) + len(ids)) for t, ids in self.ids.items()}

    def embedding_rows(self) -> dict[str, Rows]:
        """The rows of the embedding tables that these nodes start from."""
        rows: dict[str, Rows] = dict(self.ids)
        if self.extra is not None:
            rows[USER] = torch.cat([self.extra.start, self.ids[USER]])
        return rows
