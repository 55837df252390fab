"""The few items of a large catalogue that can be among the best of a request, with their scores.

An item that the memory does not suggest has the score of its vectors alone, so an index of the vectors finds the best
of them. The others are named by the memory. The pointer alone needs all items, for the log of the sum of e^score; what
the items without a score here add to it is estimated by the index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from segue.data.arrays import IntArray, offsets_of
from segue.lean.hg_gnn.terms import Cells, Entries, Terms
from segue.lean.model import Floats, Index, Shortlist

if TYPE_CHECKING:
    from segue.lean.hg_gnn.model import LeanHGGNN


def shortlists(
    model: LeanHGGNN, terms: Terms, queries: Floats, entries: Entries | None, found: IntArray, index: Index
) -> list[Shortlist]:
    """The shortlists of some requests.

    Args:
        queries: the vectors that the index was searched with, [requests, coordinates].
        found: items that the index has found, [requests, most]; -1 where there are fewer.
    """
    suggested = _suggested(entries, len(found))
    new = np.arange(index.n_items, model.n_items)
    items = [np.unique(np.concatenate([*parts, new])) for parts in zip(suggested, found, strict=True)]
    items = [each[each.searchsorted(0) :] for each in items]
    bounds = offsets_of(np.array([len(each) for each in items]))
    of_request = [slice(*bounds[row : row + 2]) for row in range(len(items))]
    scores = np.concatenate([model.products(vector, each) for vector, each in zip(queries, items, strict=True)])
    plain = np.ones(len(scores), dtype=np.bool_)
    if entries is not None:
        places = [
            start + own.searchsorted(of_memory)
            for start, own, of_memory in zip(bounds[:-1], items, suggested, strict=True)
        ]
        cells = Cells(bounds, np.concatenate(places))
        plain[cells.places] = False
        model.remember(scores, cells, terms, entries, _log_rest(terms, queries, items, index))
    return [Shortlist(own, scores[cells], plain[cells]) for own, cells in zip(items, of_request, strict=True)]


def _suggested(entries: Entries | None, requests: int) -> list[IntArray]:
    """What the memory suggests to each request, an item as often as sources name it."""
    if entries is None:
        return [np.zeros(0, dtype=np.int64)] * requests
    return np.split(entries.items, np.cumsum(entries.lengths.sum(1))[:-1])


def _log_rest(terms: Terms, queries: Floats, items: list[IntArray], index: Index) -> Floats | None:
    if terms.believed is None or terms.believed.gates is None:
        return None
    return np.array([index.log_rest(vector, own) for vector, own in zip(queries, items, strict=True)])
