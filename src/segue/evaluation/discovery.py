"""Lists that reserve places for items new to the user, and where the target of each event stands in them.

An item is new to the user when it is neither in their history nor in the running session; their history is what the
history policy of the evaluation shows of it, while the slices of every policy go by train sessions. Of the k places of
a list, :func:`~segue.evaluation.reserved.reserved_places` are for the best new items by the model's own scores; the
best of all other candidates fill the rest, and the list stays in the order of the scores. So a list that holds as many
new items anyway stays as it is, and otherwise the lowest known items give way. Nothing is reserved for users without a
history: all is new to them.

With d = min(reserved places, new candidates), a target of rank r, and n new candidates that score at least as high as
the target (itself included, ties against the model), the list of k holds the target

    at place r                      where it is known, and r + max(d - n, 0) <= k;
    at place n + min(r - n, k - d)  where it is new, and r <= k or n <= d: of the r - n known items before it, those
                                    that had to give way are gone.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from segue.data.arrays import IntArray
from segue.data.batches import Batch, look_back
from segue.evaluation.candidates import Candidates
from segue.evaluation.metrics import CUTOFFS, METRICS, averages
from segue.evaluation.reserved import reserved_places


class Discoveries:
    """The place of every target in the lists of each of :data:`~segue.evaluation.metrics.CUTOFFS`.

    Attributes:
        places: int64 [cut-offs, events]; where the list does not hold the target, one beyond every cut-off.
    """

    def __init__(self, share: float, candidates: Candidates, events: int) -> None:
        self.share = share
        self.reserved = {k: reserved_places(share, k) for k in CUTOFFS}
        self.places = np.zeros((len(CUTOFFS), events), dtype=np.int64)
        self._candidates = candidates

    def add(self, scores: Tensor, batch: Batch, rank: Tensor, rows: slice) -> None:
        """Place the targets of the events `rows`.

        Args:
            scores: [events, items], left as they are.
            batch: the events, in their order; its history is what the user knows beside the running session.
            rank: conservative rank of each target among the candidates, [events].
        """
        known = self._known(scores, batch, rows)
        at_target = scores.gather(1, batch.target[:, None])
        # Masked items are known ones: a new item is always a candidate.
        before = ((scores >= at_target) & ~known).sum(1)
        is_new = ~known.gather(1, batch.target[:, None])[:, 0]
        new = scores.shape[1] - known.sum(1)
        has_history = (batch.past[:, 1] > batch.past[:, 0])[batch.row]
        for row, k in enumerate(CUTOFFS):
            reserved = torch.where(has_history, new.clamp(max=self.reserved[k]), 0)
            placed = _placed(rank, before, reserved, is_new, k)
            self.places[row, rows] = placed.cpu().numpy()

    def averages(self, chosen: IntArray | slice = slice(None)) -> dict[str, float]:
        """All metrics, each of the list of its own length, over all events or the chosen ones."""
        found: dict[str, float] = {}
        for places, k in zip(self.places, CUTOFFS, strict=True):
            found |= {name: value for name, value in averages(places[chosen]).items() if name.endswith(f"@{k}")}
        return {name: found[name] for name in METRICS}

    def _known(self, scores: Tensor, batch: Batch, rows: slice) -> Tensor:
        """Whether each item is in the user's history or in the running session, bool [events, items]."""
        history = look_back(batch.store, batch.past, len(batch.store.items))
        of_row = torch.zeros(len(batch.past), scores.shape[1], dtype=torch.bool, device=scores.device)
        of_row[history.row, history.items] = True
        known = of_row[batch.row]
        event, item = (each.to(scores.device) for each in self._candidates.prefix_items(rows))
        known[event, item] = True
        return known


def _placed(rank: Tensor, before: Tensor, reserved: Tensor, is_new: Tensor, k: int) -> Tensor:
    """The place of each target in a list of `k`, [events]; one beyond every cut-off where the list does not hold it.

    Args:
        rank: rank among all candidates. before: new candidates that score at least as high as the target.
        reserved: places for new items. is_new: whether the target is new to the user; all [events].
    """
    missed = torch.full_like(rank, max(CUTOFFS) + 1)
    known = torch.where(rank + (reserved - before).clamp(min=0) <= k, rank, missed)
    new = torch.where((rank <= k) | (before <= reserved), before + torch.minimum(rank - before, k - reserved), missed)
    return torch.where(is_new, new, known)
