"""Answers from a shortlist: of a large catalogue only the items are scored that can be among the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from segue.data.arrays import IntArray
from segue.lean.hg_gnn import LeanHGGNN
from segue.lean.model import Floats, Index, Shortlist
from segue.serving.answer import Answer
from segue.serving.asking import Understood
from segue.serving.ranking import best

MOST = 200
"""Longest list, and most barred items, for which a shortlist is made; all items are scored for more."""
_BESIDE = 300
"""Items that are looked for beyond those of the list: as many may be suggested by the memory as well."""
_Listed = Callable[[Understood, IntArray, Floats], Answer]


class Shortlisting:
    """Answers requests to a large catalogue, all but those that ask for every item's score.

    Args:
        facts: what has to be said of the index.
    """

    def __init__(self, model: LeanHGGNN, index: Index, facts: Mapping[str, Any]) -> None:
        self.model, self.index, self.facts = model, index, dict(facts)

    def over(self, model: LeanHGGNN) -> Shortlisting:
        """Shortlists by this index for another model with the same vectors, and items that came later."""
        return Shortlisting(model, self.index, self.facts)

    def answers(self, requests: Sequence[Understood], listed: _Listed) -> dict[int, Answer]:
        """The answers to those of some requests that a shortlist can answer, by their places.

        Args:
            listed: forms an answer of a request, items and their scores.
        """
        places = [place for place, request in enumerate(requests) if _suits(request)]
        if not places:
            return {}
        answers = {}
        for place, found in zip(places, self.shortlists([requests[place] for place in places]), strict=True):
            chosen = _best(requests[place], found)
            if chosen is not None:
                answers[place] = listed(requests[place], *chosen)
        return answers

    def shortlists(self, requests: Sequence[Understood]) -> list[Shortlist]:
        """The shortlists of some requests that ask the model."""
        most = max(request.k + len(request.eligible.barred) for request in requests) + _BESIDE
        asked = [request.asked for request in requests if request.asked is not None]
        return self.model.shortlists(asked, self.index, min(most, self.index.n_items))


def _suits(request: Understood) -> bool:
    """Whether a request can do without the scores of all items."""
    every = request.asked is None or request.eligible.allowed is not None or request.explain or request.discover > 0
    return not every and request.k <= MOST and len(request.eligible.barred) <= MOST


def _best(request: Understood, found: Shortlist) -> tuple[IntArray, Floats] | None:
    """The k best eligible items of a shortlist with their scores, best first; None where an item that is not in it may
    belong to them: it scores below every plain one, so k plain ones that are eligible keep it out."""
    items, scores, plain = found.items, found.scores, found.plain
    if len(request.eligible.barred):
        kept = ~np.isin(items, request.eligible.barred)
        items, scores, plain = items[kept], scores[kept], plain[kept]
    if int(plain.sum()) < request.k:
        return None
    chosen = best(scores, request.k)
    return items[chosen], scores[chosen]
