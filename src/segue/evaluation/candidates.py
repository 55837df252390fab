"""The items that may be recommended at an event, and the rank of its target among them."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from segue.data.corpus import Sessions
from segue.data.tensors import spans
from segue.evaluation.metrics import CUTOFFS, conservative_rank, standard_rank
from segue.evaluation.slices import Events, first_occurrences

Masking = Literal["auto"] | bool


def masks_session(asked: Masking, repeats_in_sessions: bool) -> bool:
    """Whether items of the running session are no candidates; "auto": where no train session repeats an item."""
    return not repeats_in_sessions if asked == "auto" else asked


class Candidates:
    """Ranks among the candidates: all items, or where `masked` all but those of the running session.

    Masked items are taken out of the count instead of out of the scores: these may be a view that a model keeps.
    """

    def __init__(self, sessions: Sessions, events: Events, masked: bool) -> None:
        self.masked = masked
        self._items = torch.from_numpy(sessions.items.astype(np.int64))
        self._distinct = torch.from_numpy(first_occurrences(sessions))
        self._first, self._length = torch.from_numpy(events.first), torch.from_numpy(events.position + 1)
        self._repeated = torch.from_numpy(events.repeated)

    def ranks(self, scores: Tensor, target: Tensor, rows: slice) -> Tensor:
        """Conservative and standard ranks of the events `rows`, int64 [2, events]."""
        ranks = torch.stack([conservative_rank(scores, target), standard_rank(scores, target)])
        if not self.masked:
            return ranks
        event, item = self.barred(rows, scores.device)
        score, at_target = scores[event, item], scores[event, target[event]]
        ranks[0] -= torch.bincount(event[score >= at_target], minlength=len(target))
        ranks[1] -= torch.bincount(event[score > at_target], minlength=len(target))
        # A target that is no candidate itself is a miss, whatever its score and however few items there are.
        missed = max(scores.shape[1], max(CUTOFFS) + 1)
        return ranks.masked_fill(self._repeated[rows].to(scores.device), missed)

    def barred(self, rows: slice, device: torch.device) -> tuple[Tensor, ...]:
        """Event and item of every pair whose item is no candidate, both flat; empty where all are candidates."""
        return tuple(tensor.to(device) for tensor in self.prefix_items(rows)) if self.masked else ()

    def prefix_items(self, rows: slice) -> tuple[Tensor, Tensor]:
        """The distinct items of each event's whole prefix (a model's window may be shorter): event, item; both flat."""
        cell, event = spans(self._first[rows], self._length[rows])
        distinct = self._distinct[cell]
        return event[distinct], self._items[cell[distinct]]
