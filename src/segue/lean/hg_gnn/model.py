"""HG-GNN as it answers: many requests at once, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segue.artifact.arrays import Form, StoredArrays
from segue.contract.memory_sources import FARTHEST_FACT
from segue.data.arrays import IntArray
from segue.lean.hg_gnn.encoder import Encoder, Reading
from segue.lean.hg_gnn.heads import Heads
from segue.lean.hg_gnn.options import HGGNNOptions
from segue.lean.hg_gnn.parts import take_apart
from segue.lean.hg_gnn.past import Histories
from segue.lean.hg_gnn.recall import ask
from segue.lean.hg_gnn.relations import Relations
from segue.lean.hg_gnn.shortlists import shortlists
from segue.lean.hg_gnn.tables import Counts
from segue.lean.hg_gnn.terms import Believed, Cells, Entries, Recalled, Terms, add_memory, fold_pointer
from segue.lean.hg_gnn.users import Users
from segue.lean.item_vectors import ItemVectors
from segue.lean.model import Attention, Floats, Index, Parts, Shortlist, cosines
from segue.lean.request import Asked


class LeanHGGNN:
    """score(i) = S'_u · p_i⁰ + k log share_i + memory, and a pointer; see :class:`segue.models.hg_gnn.HGGNN`."""

    def __init__(
        self, model: StoredArrays, derived: StoredArrays, options: Mapping[str, Any], n_items: int, n_users: int
    ) -> None:
        self.options = HGGNNOptions.of(options)
        self.n_items, self.n_users, self.length = n_items, n_users, self.options.window.length
        dim = self.options.dim if self.options.embeddings else None
        self.vectors = ItemVectors.read(model, n_items, dim, popularity=self.options.popularity)
        of_items = Form("float32", (n_items, self.options.dim))
        refined = derived.read("refined.item", of_items) if self.options.embeddings else None
        self.encoder = Encoder(model, refined, self.options) if refined is not None else None
        self.users = Users(model, derived, self.options, n_items, n_users) if self.options.reads_users else None
        self.counts = Counts.read(model, n_items) if self.options.reads_counts else None
        self.histories = Histories(self.options.window.history)
        self.heads = Heads(model, self.options)
        self.relations = Relations.read(model, n_items)

    def relations_to(self, item: int, sources: IntArray) -> list[str | None]:
        """The first of adjacent_in, adjacent_out, similar that leads from each of `sources` to `item`."""
        return self.relations.of(sources, item)

    def similar(self, item: int) -> Floats:
        """Cosine of the item's refined vector, eq. (8), with those of all items; without embeddings the closeness of
        the items that share sessions with it, [items]."""
        if self.encoder is not None:
            return cosines(self.encoder.refined, item)
        closeness = np.zeros(self.n_items)
        if self.counts is not None:
            found = self.counts.companions(np.array([item]), self.n_items)
            closeness[found.items] = found.values
        return closeness

    def score(self, asked: Sequence[Asked]) -> ScoredHGGNN:
        """Score all items for each request."""
        terms, entries = self._terms(asked)
        scores = self._dense(self.queries(terms))
        if entries is not None:
            self.remember(scores.reshape(-1), Cells.of_all_items(entries, scores.shape[1]), terms, entries)
        return ScoredHGGNN(self, terms, scores)

    def shortlists(self, asked: Sequence[Asked], index: Index, most: int) -> list[Shortlist]:
        """The items that may be among the best of each request, scored: `most` that an index finds by their vectors,
        and all that it does not know or that the memory suggests. All others have the score of their vectors alone."""
        terms, entries = self._terms(asked)
        queries = self.queries(terms)
        return shortlists(self, terms, queries, entries, index.search(queries, most), index)

    def queries(self, terms: Terms) -> Floats:
        """The vectors whose products with those of the items are scores without the memory, [requests, coordinates]."""
        return terms.vectors

    def session_vectors(self, asked: Sequence[Asked]) -> Floats:
        """The :meth:`queries` of some requests."""
        return self.queries(self._terms(asked)[0])

    def products(self, vector: Floats, items: IntArray) -> Floats:
        """The products of the vector of a request [coordinates] with those of some items, [k]."""
        return self.vectors.products(vector, items)

    def vectors_of(self, items: IntArray) -> Floats:
        """Vectors of some items, [coordinates, k]."""
        return self.vectors[items].T

    def remember(
        self, scores: Floats, cells: Cells, terms: Terms, entries: Entries, rest: Floats | None = None
    ) -> None:
        """Add the memory to scores [cells], in place. rest: log sum of e^score over the items without a cell."""
        believed = terms.believed
        if believed is None:
            return
        add_memory(scores, cells, entries, believed, self.options.sources)
        if believed.gates is not None and believed.log_dense is not None:
            fold_pointer(scores, cells, entries, believed.gates, believed.log_dense, rest)

    def _dense(self, vectors: Floats) -> Floats:
        """The product of vectors of requests [requests, coordinates] with those of all items, [requests, items]."""
        return self.vectors.product(vectors)

    def _counts_for(self, asked: Asked) -> Counts:
        """The counts that a request may see."""
        assert self.counts is not None
        return self.counts

    def _terms(self, asked: Sequence[Asked]) -> tuple[Terms, Entries | None]:
        """Eq. (9)-(18), the user's terms and the memory."""
        options, dim = self.options, self.options.dim if self.options.embeddings else 0
        q = self.users.vectors(asked) if self.users else np.zeros((len(asked), dim), dtype=np.float32)
        reading = self.encoder.read([each.items for each in asked], q) if self.encoder else None
        vectors = reading.session if reading is not None else q
        z, recalled = self._recalled(asked, reading, q)
        by_user = {"add_user": q} if options.add_user else {}
        if options.user_term:
            by_user["user_term"] = self.heads.user_term(z, q)
        for added in by_user.values():
            vectors = vectors + added
        if options.popularity:
            vectors = np.concatenate([vectors, self.heads.popularity(z)], 1)
        entries = Entries(recalled) if options.sources else None
        believed = self._believed(z, entries) if entries is not None else None
        return Terms(options, asked, vectors, reading, by_user, recalled, believed), entries

    def _recalled(self, asked: Sequence[Asked], reading: Reading | None, q: Floats) -> tuple[Floats, Recalled]:
        """Gate input z = [S ‖ q ‖ x] (parts that exist), and what the memory suggests to each request."""
        if self.counts is None:
            return q[:, :0], []
        counts, sources = self.counts, self.options.sources
        found = [ask(each, self._counts_for(each), sources, self.histories.of(each)) for each in asked]
        facts = (np.array([facts for _, facts in found]) - counts.centre) / counts.spread
        known = [] if reading is None else [reading.session, q] if self.options.reads_users else [reading.session]
        z = [*known, np.clip(facts, -FARTHEST_FACT, FARTHEST_FACT).astype(np.float32)]
        return np.concatenate(z, 1), [recalled for recalled, _ in found]

    def _believed(self, z: Floats, entries: Entries) -> Believed:
        by_count, by_presence = self.heads.memory(z)
        log_dense, gates = self.heads.pointer(z, entries.lengths == 0) if self.options.pointer else (None, None)
        return Believed(by_count, by_presence, gates, log_dense, entries.totals)


@dataclass(frozen=True)
class ScoredHGGNN:
    """Scored requests, see :class:`segue.lean.model.Scored`."""

    model: LeanHGGNN
    terms: Terms
    scores: Floats

    def parts(self, row: int, items: IntArray) -> Parts:
        """The scores of `items` [k] for one of the requests, split into summands."""
        vectors = self.model.vectors_of(items)
        return take_apart(self.terms, row, items, self.scores[row, items], vectors, self.model.encoder)

    def attention(self, row: int) -> Attention | None:
        """Weights α and γ and gate α_c of eq. (12)-(17); None without embeddings."""
        reading, options = self.terms.reading, self.model.options
        if reading is None:
            return None
        length = len(self.terms.asked[row].items)
        alpha, gamma = (weights[row, :length][::-1].tolist() for weights in (reading.alpha, reading.gamma))
        both = options.current_preference and options.general_preference
        return Attention(
            alpha if options.current_preference else None,
            gamma if options.general_preference else None,
            reading.gate[row].tolist() if both else None,
        )
