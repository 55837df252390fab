"""Exact parts of a score: S is a weighted sum of item vectors, so its product with an item splits by item.

    S · p_i⁰ = Σ_j (α_c * α_j p'_j) · p_i⁰ + Σ_j ((1 - α_c) * γ_j p_j) · p_i⁰

This holds whether the weights α and γ sum to one or not. The user's terms, the popularity and every memory entry are
summands already. A pointer raises the score of an item by logaddexp; that increase is divided among the sources in
proportion to the probability each gave.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from segue.contract.memory_sources import TABLE, WORDS, MemorySource
from segue.models.hg_gnn.session_encoder import PersonalisedSessionEncoder
from segue.models.hg_gnn.terms import Terms
from segue.nn.encoding import Encoding, ScoreParts
from segue.nn.losses import dense_scores


def take_apart(
    terms: Terms, encoder: PersonalisedSessionEncoder | None, item_vectors: Tensor, items: Tensor
) -> ScoreParts:
    """The scores of `items` [k] for a batch of one event, by term; they sum to the score."""
    dim = terms.p.shape[1]
    candidate = item_vectors[items, :dim]
    session = _attention_parts(terms, encoder, candidate) if encoder is not None else {}
    user = {name: candidate @ vectors[0] for name, vectors in terms.by_user.items()}
    everybody: dict[str, Tensor] = {}
    for source, name, part in _memory_parts(terms, item_vectors, items):
        match TABLE[source].speaks_for:
            case "session":
                session[name] = part
            case "user":
                user[name] = part.sum(1)
            case "everybody":
                everybody[name] = part.sum(1)
    length = int(terms.prefixes.mask.sum())
    session = {name: part[:, :length] for name, part in session.items()}
    popularity = terms.encoding.vectors[0, dim:] * item_vectors[items, dim:]
    return ScoreParts(
        session, user, popularity.sum(1), popularity=popularity.shape[1] > 0, everybody=everybody, words=WORDS
    )


def _memory_parts(terms: Terms, item_vectors: Tensor, items: Tensor) -> Iterator[tuple[MemorySource, str, Tensor]]:
    """Source, name and [k, length] values of every part that the memory adds or points with."""
    for source, value in terms.values.items():
        yield source, source, _by_cell(terms, source, value, items)
    for source, part in _pointer_parts(terms, item_vectors, items).items():
        yield source, f"pointer_{source}", part


def _attention_parts(terms: Terms, encoder: PersonalisedSessionEncoder, candidate: Tensor) -> dict[str, Tensor]:
    """Current and general preference, [k, length] each."""
    reading, alias = terms.reading, terms.alias[0]
    assert reading is not None
    parts = {}
    if encoder.use_current:
        summed = encoder.summed(terms.p, alias, terms.prefixes.reversed_position[0]) * reading.gate[0]
        parts["current"] = candidate @ (summed * reading.alpha[0][:, None]).t()
    if encoder.use_general:
        plain = terms.p[alias] * (1 - reading.gate[0])
        parts["general"] = candidate @ (plain * reading.gamma[0][:, None]).t()
    return parts


def _pointer_parts(terms: Terms, item_vectors: Tensor, items: Tensor) -> dict[MemorySource, Tensor]:
    """Increase of each score through the pointer, by source and cell."""
    mixture = terms.encoding.mixture
    if mixture is None:
        return {}
    with_pointer = dense_scores(terms.encoding, item_vectors)[0, items]
    without = Encoding(terms.encoding.vectors, terms.encoding.added)
    rise = with_pointer - dense_scores(without, item_vectors)[0, items]
    mass = {source: _by_cell(terms, source, value, items) for source, value in terms.pointed.items()}
    total = torch.stack([part.sum(1) for part in mass.values()]).sum(0)
    scale = rise / total.clamp(min=torch.finfo(total.dtype).tiny)
    return {source: part * scale[:, None] for source, part in mass.items()}


def _by_cell(terms: Terms, source: MemorySource, value: Tensor, items: Tensor) -> Tensor:
    """What a source gives to each of `items`, at the prefix cells it comes from, [k, length].

    A value for a sum of entries is divided among them in proportion.
    """
    recalled, length = terms.recalled[source], terms.alias.shape[1]
    entries = recalled.entries
    share = (entries.value / recalled.value[recalled.place]).to(value.dtype) * value[recalled.place]
    found, entry = (items[:, None] == entries.item).nonzero(as_tuple=True)
    cell = (length - 1 - entries.cell[entry]).clamp(min=0)
    return value.new_zeros(len(items), length).index_put((found, cell), share[entry], accumulate=True)
