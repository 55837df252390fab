"""The two graphs of HG-GNN: requests → session vectors and candidates of the memory, and these → scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segue.data.corpus import Sessions
from segue.export.functions import joined, larger, smaller, where, zeros
from segue.export.graph import Graph, Value
from segue.export.hg_gnn.asked import Asked, Numbers, ask
from segue.export.hg_gnn.encoder import SessionReader, user_vectors
from segue.export.hg_gnn.heads import Believer, Candidates
from segue.export.hg_gnn.question import Question
from segue.lean.hg_gnn import LeanHGGNN

_SHAPES: dict[str, Sequence[str | int]] = {
    "memory_at": ("candidates", 2),
    "memory_added": ("candidates",),
    "memory_pointed": ("candidates",),
    "log_dense": ("batch",),
}


def encoder_graph(model: LeanHGGNN, history: Sessions, rows: int) -> Graph:
    """The graph from requests to session vectors and, where there is a memory, to its candidates.

    Args:
        history: the users' train sessions. rows: users in the table, those without a vector included.
    """
    graph = Graph("encoder")
    options = model.options
    asked = ask(
        graph, options.window, history, Numbers(model.n_items, rows, model.n_users), counts=model.counts is not None
    )
    vector, candidates = _encoded(asked, model)
    something = asked.session.mask.any(1).column(1)
    vector = where(something, vector, np.nan)
    outputs: dict[str, tuple[Value, Sequence[str | int]]] = {
        "session_vector": (vector, ("batch", model.vectors.shape[1]))
    }
    found = {} if candidates is None else dict(zip(_SHAPES, candidates, strict=True))
    outputs |= {name: (value, _SHAPES[name]) for name, value in found.items() if value is not None}
    return graph.finish(outputs)


def _encoded(asked: Asked, model: LeanHGGNN) -> tuple[Value, Candidates | None]:
    """Session vectors [requests, coordinates] with everything that is added to them, and the memory's candidates."""
    graph, options = asked.graph, model.options
    n, dim = asked.length.length(), options.dim if options.embeddings else 0
    q = user_vectors(asked, model.users, model.n_items) if model.users else None
    blank = zeros(np.float32, n, graph.value(np.int64(dim)))
    vector = SessionReader(asked, model.encoder).session(blank if q is None else q) if model.encoder else blank
    known = [vector, *([q] if q is not None else [])] if model.encoder else []
    if q is not None and options.add_user:
        vector = vector + q
    if model.counts is None:
        return vector, None
    believer = Believer(model.heads, Question(asked, model.counts), known)
    if q is not None and options.user_term:
        vector = vector + believer.user_term(q)
    if options.popularity:
        vector = joined([vector, believer.popularity()], axis=1)
    return vector, believer.candidates()


def scorer_graph(model: LeanHGGNN) -> Graph:
    """The graph from what the encoder gives to the scores of all items, [batch, items]."""
    graph, options = Graph("scorer"), model.options
    vector = graph.input("session_vector", np.float32, ("batch", model.vectors.shape[1]))
    scores = vector @ graph.stored("items", model.vectors[:].T)
    if options.sources:
        at = graph.input("memory_at", np.int64, _SHAPES["memory_at"])
        added = graph.input("memory_added", np.float32, _SHAPES["memory_added"])
        scores = graph.op("ScatterND", scores, at, added, reduction="add")
    if options.pointer:
        pointed = graph.input("memory_pointed", np.float32, _SHAPES["memory_pointed"])
        log_dense = graph.input("log_dense", np.float32, _SHAPES["log_dense"])
        scores = _pointed(scores, at, pointed, log_dense)
    return graph.finish({"scores": (scores, ("batch", model.n_items))})


def _pointed(scores: Value, at: Value, pointed: Value, log_dense: Value) -> Value:
    """The pointer folded in: logaddexp(s, logsumexp(s) + log M - log_dense)."""
    graph = scores.graph
    top = scores.max(1, keep=True)
    log_sum = (scores - top).map("Exp").sum(1).map("Log") + graph.op("Squeeze", top, np.array([1]))
    row = graph.op("Gather", at, np.int64(0), axis=1)
    risen = pointed.map("Log") + (log_sum - log_dense).take(row)
    dense = graph.op("GatherND", scores, at)
    higher, lower = larger(dense, risen), smaller(dense, risen)
    both = higher + (1 + (lower - higher).map("Exp")).map("Log")
    return graph.op("ScatterND", scores, at, both)
