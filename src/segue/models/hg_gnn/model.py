"""HG-GNN: global graph, HGNN, personalised session encoder, and the terms that preset `segue` adds."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from segue.contract.encoder import SessionEncoder
from segue.contract.memory_sources import FACTS, TABLE, MemorySource
from segue.contract.model import Need, Overrides, SessionModel
from segue.data.batches import Batch, Prefixes
from segue.data.corpus import Corpus
from segue.data.stored import check_arrays, forms_alone
from segue.graph.half_lives import HalfLives
from segue.graph.hetero import ExtraUsers, HeteroGraph, full_field, receptive_field
from segue.graph.propagation import Csr
from segue.graph.statistics import graph_statistics
from segue.graph.stored import relations_of
from segue.graph.tables import ITEM, USER, EdgeTables
from segue.models.hg_gnn.config import HGGNNConfig
from segue.models.hg_gnn.explain import take_apart
from segue.models.hg_gnn.layers import HGNN, Propagated, Tables
from segue.models.hg_gnn.memory.entries import Recalled
from segue.models.hg_gnn.memory.recall import Recall
from segue.models.hg_gnn.memory.weights import AddedMemory, PointerMemory, constant_linear
from segue.models.hg_gnn.presets import PRESETS, SPACE, SPACES
from segue.models.hg_gnn.session_encoder import PersonalisedSessionEncoder, Reading
from segue.models.hg_gnn.terms import Terms
from segue.nn.encoding import Added, Encoding, ScoreParts
from segue.nn.losses import softmax_loss
from segue.settings import GraphSettings, PreparationSettings, Settings
from segue.settings.search_space import Space

logger = logging.getLogger("segue")

_PACE_OF_MEMORY = 5.0
"""Factor on the learning rate of the memory's weights: they are few, and every event teaches all of them."""
_HEADS = ("popularity_weight.", "memory.", "pointer.")
"""Where the memory's weights are among the parameters."""
_POPULARITY_AT_START = 0.3
_SHOWN_RELATIONS = ("adjacent_in", "adjacent_out", "similar")


class HGGNN(SessionEncoder):
    """score(i) = S'_u · p_i⁰ + k log share_i + memory, a pointer over counts beside the softmax; each term a switch.

    With all switches off: eq. (4)-(19) of the paper, scores against the initial embeddings P⁰.
    """

    Config = HGGNNConfig
    config: HGGNNConfig
    title: ClassVar[str] = "HG-GNN"
    depth: ClassVar[str | None] = "layers"
    presets: ClassVar[Mapping[str, Overrides]] = PRESETS
    space: ClassVar[Space] = SPACE
    spaces: ClassVar[Mapping[str, Space]] = SPACES
    lean_form: ClassVar[str | None] = "hg_gnn"

    log_share: Tensor

    def __init__(
        self, config: HGGNNConfig, graph: GraphSettings | None = None, preparation: PreparationSettings | None = None
    ) -> None:
        super().__init__(config)
        self.graph_settings = config.graph_of(graph or GraphSettings())
        self.preparation = preparation or PreparationSettings()
        self.graph: HeteroGraph
        self._snapshot: Propagated | None = None
        self._statistics: dict[str, Any] = {}

    @classmethod
    def from_settings(cls, settings: Settings, inner: SessionModel | None = None) -> Self:
        """An empty model; the graph section and the memory limit of the preparation section belong to it."""
        return cls(HGGNNConfig.parse(settings.model.options, "model"), settings.graph, settings.preparation)

    @property
    def attribute_columns(self) -> tuple[str, ...]:
        """Columns whose values are nodes of the graph."""
        return self.graph_settings.attributes

    @property
    def needs(self) -> frozenset[Need]:
        """Needs a graph where it propagates, and the columns whose values are nodes; all users may be unknown."""
        propagates = self.config.embeddings and self.config.layers
        asked: dict[Need, Any] = {"graph": propagates, "attributes": self.attribute_columns}
        return frozenset(need for need, wanted in asked.items() if wanted)

    def fit(self, corpus: Corpus) -> None:
        """Build graph, counts and tables from the train part."""
        config = self.config
        # The first item that finds no place bounds the others.
        top = config.memory_items + 1 if config.reads_counts else 0
        tables = relations_of(corpus, self.graph_settings, preparation=self.preparation, memory_top=top)
        graph = HeteroGraph.from_edges(tables, parallel=config.multiplicity)
        recall = self._count(corpus, tables) if config.reads_counts else None
        self._build(graph, recall)
        self._statistics = graph_statistics(tables)
        edges = (f"{name} {facts['edges']:,}" for name, facts in self._statistics["relations"].items())
        logger.info("graph: %d isolated items; edges: %s", self._statistics["isolated_items"], ", ".join(edges))
        if config.popularity:
            share = np.maximum(corpus.item_support, 0.5) / max(corpus.item_support.sum(), 1)
            self.log_share.copy_(torch.from_numpy(np.log(share)))

    def _count(self, corpus: Corpus, tables: EdgeTables) -> Recall:
        config = self.config
        half_lives = HalfLives.of(corpus.train, config.history_half_life, config.trend_half_life)
        asks_dear = any(TABLE[source].dear for source in (*config.memory, *config.pointer))
        return Recall.count(
            corpus, tables, half_lives, top=config.memory_items, window=config.window,
            dear_share=config.dear_share if asks_dear else 0.0,
        )  # fmt: skip

    def _build(self, graph: HeteroGraph, recall: Recall | None) -> None:
        config = self.config
        self.graph = graph
        self.n_items, self.n_users = graph.n_nodes[ITEM], graph.n_nodes[USER] - 1
        features = FACTS if recall is not None else 0
        if config.embeddings:
            features += (2 if config.reads_users else 1) * config.dim
            self._embed(features)
        if recall is not None:
            self.recall = recall
        if config.popularity:
            self.register_buffer("log_share", torch.zeros(self.n_items))
            self.popularity_weight = constant_linear(features, 1, _POPULARITY_AT_START)
        if config.memory:
            self.memory = AddedMemory(config.memory, features)
        if config.pointer:
            self.pointer = PointerMemory(config.pointer, features)

    def _embed(self, features: int) -> None:
        """Build everything that has vectors: tables and layers, session encoder, user term."""
        config, dim = self.config, self.config.dim
        self.hgnn = HGNN(
            self.graph.n_nodes, self.graph.relations, dim, config.alphas,
            asked=(ITEM, USER) if config.reads_users else (ITEM,), kept=(USER,) if config.user_classes else (),
            accumulate=config.accumulate, dropout=config.dropout, shared=config.homogeneous,
        )  # fmt: skip
        self.encoder = PersonalisedSessionEncoder(
            dim, config.window.length,
            current=config.current_preference, general=config.general_preference, user=config.user_nodes,
            attention=config.attention, hidden=config.hidden, gate=config.gate,
        )  # fmt: skip
        if config.user_term:
            self.user_map, self.user_gate = nn.Linear(dim, dim, bias=False), nn.Linear(features, dim)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(dim), 1 / math.sqrt(dim))

    def item_vectors(self) -> Tensor:
        """Item vectors P⁰ [items, d]; log share_i is a further coordinate, the only one without embeddings."""
        if not self.config.embeddings:
            return self.log_share[:, None]
        initial = self.hgnn.embedding[ITEM]
        return torch.cat([initial, self.log_share[:, None]], 1) if self.config.popularity else initial

    def encode(self, batch: Batch, state: Tensor | None = None) -> Encoding:
        """Encode every event by eq. (4)-(18), then add the further terms."""
        return self.terms(batch).encoding

    def loss_of(self, encoding: Encoding, batch: Batch) -> Tensor:
        """Cross entropy, or eq. (20) as written, over the items; with `user_classes` over the known users too."""
        classes = self.item_vectors()
        if self.config.user_classes:
            users = self.hgnn.embedding[USER][: self.n_users]  # popular with nobody: no bias
            classes = torch.cat([classes, functional.pad(users, (0, classes.shape[1] - users.shape[1]))])
        return softmax_loss(encoding, classes, batch.target, self.config.loss, of=len(batch.joined))

    def terms(self, batch: Batch) -> Terms:
        """Everything a score is made of, kept apart for explanations."""
        config = self.config
        if self.training and config.mask_users:
            masked = torch.rand(len(batch.user), device=batch.user.device) < config.mask_users
            batch = batch.anonymise(masked, self.n_users)
        prefixes = batch.prefixes()
        p, alias, q = self._nodes(batch, prefixes)
        reading = self.encoder(p, q, alias, prefixes) if config.embeddings else None
        vectors = reading.session if reading is not None else q
        z, recalled = self._recalled(batch, prefixes, reading, q)
        by_user = {"add_user": q} if config.add_user else {}
        if config.user_term:
            by_user["user_term"] = torch.sigmoid(self.user_gate(z)) * self.user_map(q)
        for added in by_user.values():
            vectors = vectors + added
        if config.popularity:
            vectors = torch.cat([vectors, self.popularity_weight(z)], 1)
        values: dict[MemorySource, Tensor] = self.memory(z, recalled) if config.memory else {}
        mixture, pointed = self.pointer.mixture(z, recalled) if config.pointer else (None, {})
        entries = tuple(Added(recalled[s].event, recalled[s].item, value) for s, value in values.items())
        return Terms(
            Encoding(vectors, entries, mixture), reading, by_user, recalled, values, pointed, p, alias, prefixes
        )

    def _recalled(
        self, batch: Batch, prefixes: Prefixes, reading: Reading | None, q: Tensor
    ) -> tuple[Tensor, dict[MemorySource, Recalled]]:
        """Gate input z = [S ‖ q ‖ x] (parts that exist) and the memory's entries; both empty if no term needs them."""
        if not hasattr(self, "recall"):
            return q[:, :0], {}
        recalled, facts = self.recall(batch, prefixes, frozenset((*self.config.memory, *self.config.pointer)))
        known = [] if reading is None else [reading.session, q] if self.config.reads_users else [reading.session]
        return torch.cat([*known, facts.to(q.dtype)], 1), recalled

    def _nodes(self, batch: Batch, prefixes: Prefixes) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors p of the distinct items [n, d], the row of each cell among them, and q of each event [events, d].

        q is zero where no term needs it; without embeddings p and q have no columns.
        """
        items, alias = torch.unique(prefixes.items, return_inverse=True)
        if not self.config.embeddings:
            return self.log_share.new_zeros(len(items), 0), alias, self.log_share.new_zeros(len(batch), 0)
        if not self.config.reads_users:
            p = self._refined(items, items[:0], None)[ITEM]
            return p, alias, p.new_zeros(len(batch), self.config.dim)
        fresh = batch.fresh & (batch.past[:, 1] > batch.past[:, 0])
        users, place = torch.unique(batch.user[~fresh], return_inverse=True)
        extra = self._extra_users(batch, fresh) if bool(fresh.any()) else None
        row_place = torch.empty_like(batch.user)
        row_place[fresh] = torch.arange(int(fresh.sum()), device=fresh.device)
        row_place[~fresh] = place + int(fresh.sum())
        refined = self._refined(items, users, extra)
        return refined[ITEM], alias, functional.embedding(row_place[batch.row], refined[USER])

    def _refined(self, items: Tensor, users: Tensor, extra: ExtraUsers | None) -> Tables:
        """Refined vectors of eq. (8) for some nodes, extra users first; from the snapshot where there is one."""
        if self._snapshot is None:
            refined: Tables = self.hgnn(receptive_field(self.graph, items, users, len(self.hgnn.layers), extra))
            return refined
        asked = {ITEM: items, USER: users}
        refined = {t: table[asked[t]] for t, table in self._snapshot.refined.items() if t in asked}
        if extra is not None:
            refined[USER] = torch.cat([self.hgnn.extra_users(self._snapshot, extra), refined[USER]])
        return refined

    def _extra_users(self, batch: Batch, fresh: Tensor) -> ExtraUsers:
        """Rows marked `fresh` as users known by the items of their history."""
        past = batch.history(self.config.window.history)
        number = torch.cumsum(fresh, 0) - 1
        kept = fresh[past.row]
        items = Csr.from_pairs(
            number[past.row[kept]], past.items[kept], int(fresh.sum()), self.n_items, parallel=self.config.multiplicity
        )
        return ExtraUsers(items, batch.user[fresh])

    def snapshot(self) -> None:
        """Propagate the whole graph once."""
        if self.config.embeddings:
            self._snapshot = self.hgnn.propagate(full_field(self.graph, len(self.hgnn.layers)))

    def forget_snapshot(self) -> None:
        """Drop the snapshot: each batch propagates its own receptive field again."""
        self._snapshot = None

    def arrays(self) -> dict[str, Tensor]:
        """Parameters, counts and graph."""
        graph = {f"graph.{name}": tensor for name, tensor in self.graph.arrays().items()}
        return {**super().arrays(), **graph}

    @property
    def rows(self) -> Mapping[str, str]:
        """The tables of the node types, and the refined vectors."""
        if not self.config.embeddings:
            return {}
        tables = {f"hgnn.embedding.{node_type}": node_type for node_type in self.hgnn.embedding}
        return tables | {f"refined.{node_type}": node_type for node_type in (ITEM, USER)}

    @torch.no_grad()
    def derived(self) -> dict[str, Tensor]:
        """The refined vectors of eq. (8) and, for users that the graph does not know, the inputs of later layers."""
        if not self.config.embeddings:
            return {}
        whole = self.hgnn.propagate(full_field(self.graph, len(self.hgnn.layers)))
        asked = (ITEM, USER) if self.config.reads_users else (ITEM,)
        inputs = enumerate(whole.inputs[1:] if self.config.reads_users else (), start=1)
        refined = {f"refined.{node_type}": whole.refined[node_type] for node_type in asked}
        return refined | {f"input.{layer}.item": tables[ITEM] for layer, tables in inputs}

    def restore(self, arrays: Mapping[str, Tensor], n_items: int, n_users: int) -> None:
        """Take back what :meth:`arrays` returned."""
        graph = {k.removeprefix("graph."): v for k, v in arrays.items() if k.startswith("graph.")}
        state = {k: v for k, v in arrays.items() if not k.startswith("graph.")}
        built = HeteroGraph.from_arrays(graph, self.graph_settings.relation_names, n_items, n_users)
        reads_counts = self.config.reads_counts
        with forms_alone():
            self._build(built, self._like(state, n_items) if reads_counts else None)
        check_arrays(state, self._layouts() | (Recall.layouts(n_items) if reads_counts else {}))
        if reads_counts:
            Recall.check_rows(state)
        self._build(built, self._like(state, n_items) if reads_counts else None)
        self.load_state_dict(state)

    def _like(self, state: Mapping[str, Tensor], n_items: int) -> Recall:
        return Recall.like(state, n_items, self.config.window.history)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """All parameters; the memory's weights learn at five times the rate."""
        named = dict(self.named_parameters())
        quick = [parameter for name, parameter in named.items() if name.startswith(_HEADS)]
        others = [parameter for name, parameter in named.items() if not name.startswith(_HEADS)]
        groups = [self.parameter_group(others), self.parameter_group(quick, pace=_PACE_OF_MEMORY)]
        return [group for group in groups if group["params"]]

    def parts(self, batch: Batch, items: Tensor) -> ScoreParts:
        """Exact parts of the scores, see :mod:`segue.models.hg_gnn.explain`."""
        encoder = self.encoder if self.config.embeddings else None
        return take_apart(self.terms(batch), encoder, self.item_vectors(), items)

    def relation(self, source: int, item: int) -> str | None:
        """The first of adjacent_in, adjacent_out, similar that leads from `source` to `item`."""
        for name in _SHOWN_RELATIONS:
            csr = self.graph.csr.get(name)
            if csr is not None and source in csr.indices[csr.offsets[item] : csr.offsets[item + 1]]:
                return name
        return None

    def statistics(self) -> dict[str, Any]:
        """Nodes, edges and degrees of the graph."""
        return self._statistics

    def _apply(self, fn: Any, recurse: bool = True) -> HGGNN:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if "hgnn" in self._modules:  # the graph is no module: it follows the parameters from device to device
            self.graph = self.graph.to(self.hgnn.embedding[ITEM].device)
        return self


Model = HGGNN
