"""The share of the catalogue that a model ever shows: ten bestsellers for everybody can score well and show little."""

from __future__ import annotations

import torch
from torch import Tensor

LENGTHS = (10, 20)


class Coverage:
    """The share of all items that stand in any top-k list of an evaluation.

    Attributes:
        shown: int32 [lengths, items]; not 0 where a list of that length has shown the item.
    """

    def __init__(self, n_items: int) -> None:
        self.shown = torch.zeros(len(LENGTHS), n_items, dtype=torch.int32)

    def add(self, scores: Tensor, event: Tensor | None = None, item: Tensor | None = None) -> None:
        """Add the lists of some events.

        Args:
            scores: [events, items], left as they are.
            event, item: pairs of an event and an item that is no candidate there, [pairs].
        """
        if event is not None and item is not None:
            scores = scores.index_put((event, item), scores.new_tensor(-torch.inf))
        top = torch.topk(scores, min(max(LENGTHS), scores.shape[1]), dim=1)
        listed = top.values > -torch.inf
        for shown, k in zip(self.shown, LENGTHS, strict=True):
            shown[top.indices[:, :k][listed[:, :k]].cpu()] = 1

    def shares(self) -> dict[str, float]:
        """``coverage@10`` and ``coverage@20``, as fractions of the catalogue."""
        return {
            f"coverage@{k}": float((shown > 0).double().mean()) for k, shown in zip(LENGTHS, self.shown, strict=True)
        }
