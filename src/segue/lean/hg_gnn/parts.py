"""Exact parts of the scores of some items for one request; see :mod:`segue.models.hg_gnn.explain`.

A pointer raises the score of an item; the rise is what the other parts leave of the score, and is divided among the
sources in proportion to the probability each gave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from segue.contract.memory_sources import TABLE, WORDS, MemorySource
from segue.data.arrays import IntArray
from segue.lean.hg_gnn.encoder import Encoder
from segue.lean.hg_gnn.terms import Terms
from segue.lean.model import Floats, Parts


def take_apart(
    terms: Terms, row: int, items: IntArray, scores: Floats, vectors: Floats, encoder: Encoder | None
) -> Parts:
    """The scores [k] of `items` for the request at `row`, by term; they sum to the scores.

    vectors: of the items, [coordinates, k].
    """
    dim = terms.reading.session.shape[1] if terms.reading is not None else 0
    candidate = vectors[:dim].T
    session = _attention_parts(terms, row, encoder, candidate) if encoder is not None else {}
    user = {name: candidate @ added[row] for name, added in terms.by_user.items()}
    base = terms.vectors[row, dim:] @ vectors[dim:]
    parts = Parts(session, user, base, popularity=len(vectors) > dim, words=WORDS)
    if terms.believed is None:
        return parts
    added, pointed = _memory_parts(terms, row, items)
    parts = _with(parts, added)
    if not pointed:
        return parts
    total = sum(part.sum(1) for part in pointed.values())
    scale = (scores - parts.total()) / np.where(total > 0, total, np.inf)
    return _with(parts, {source: part * scale[:, None] for source, part in pointed.items()}, "pointer_")


def _attention_parts(terms: Terms, row: int, encoder: Encoder, candidate: Floats) -> dict[str, Floats]:
    """Current and general preference, [k, length] each; cells in the order of the session."""
    reading, length = terms.reading, len(terms.asked[row].items)
    assert reading is not None
    p, gate = reading.p[row, :length], reading.gate[row]
    parts = {}
    if encoder.options.current_preference:
        parts["current"] = candidate @ (encoder.summed(p) * gate * reading.alpha[row, :length, None]).T
    if encoder.options.general_preference:
        parts["general"] = candidate @ (p * (1 - gate) * reading.gamma[row, :length, None]).T
    return {name: part[:, ::-1] for name, part in parts.items()}


def _memory_parts(
    terms: Terms, row: int, items: IntArray
) -> tuple[dict[MemorySource, Floats], dict[MemorySource, Floats]]:
    """What each source adds, and the probability that it points with, [k, length] each."""
    believed, length = terms.believed, len(terms.asked[row].items)
    assert believed is not None
    added, pointed = {}, {}
    for number, (source, suggested) in enumerate(terms.recalled[row].items()):
        values, shares = suggested.of(items, length)
        log = np.log1p(TABLE[source].scale * values)
        if source in terms.options.memory:
            by_count, by_presence = believed.by_count[row, number], believed.by_presence[row, number]
            added[source] = shares * (by_count * log + by_presence)[:, None]
        if source in terms.options.pointer and believed.gates is not None:
            probability = believed.gates[row, number] * values / (believed.totals[row, number] or 1.0)
            pointed[source] = shares * probability[:, None]
    return added, pointed


def _with(parts: Parts, more: Mapping[MemorySource, Floats], prefix: str = "") -> Parts:
    """The parts with those of some sources, each where it belongs."""

    def named(whose: str) -> dict[str, Floats]:
        return {prefix + source: part for source, part in more.items() if TABLE[source].speaks_for == whose}

    by_user, by_everybody = (
        {name: part.sum(1) for name, part in named(whose).items()} for whose in ("user", "everybody")
    )
    return replace(
        parts,
        session={**parts.session, **named("session")},
        user={**parts.user, **by_user},
        everybody={**parts.everybody, **by_everybody},
    )
