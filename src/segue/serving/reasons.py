"""Reasons of a recommendation: its score split into parts, in ids and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from segue.contract.model import SessionModel
from segue.nn.encoding import ScoreParts

_RELATIONS = {
    "adjacent_in": "often comes right after",
    "adjacent_out": "often comes right before",
    "similar": "often shares sessions with",
}
_EARLIER = "from this user's earlier sessions"
_POPULAR = "popular with everybody"
_FITS = "suits this session"
_FILLS = "nothing speaks for it, it fills the list"


class Reasons:
    """Puts the parts of a model's scores in words.

    Args:
        item_ids: id of each item.
        names: id → name for people.
    """

    def __init__(self, model: SessionModel, item_ids: Sequence[str], names: Mapping[str, str]) -> None:
        self.model, self.item_ids, self.names = model, item_ids, names

    def of(self, parts: ScoreParts, items: Tensor, session: list[int], *, has_past: bool) -> list[dict[str, Any]]:
        """The reasons for each of `items` [k]: the ``because`` of a recommendation.

        Args:
            session: numbers of the items of the running session.
            has_past: whether the user's part of the score comes from earlier sessions.
        """
        return [self._because(parts, row, int(item), session, has_past) for row, item in enumerate(items)]

    def _because(self, parts: ScoreParts, row: int, item: int, session: list[int], has_past: bool) -> dict[str, Any]:
        """The score of one recommendation split into its parts, in ids and words."""
        by_item = [
            {
                "item": self.item_ids[source],
                "contribution": sum(float(part[row, cell]) for part in parts.session.values()),
                "relation": self.model.relation(source, item),
            }
            for cell, source in enumerate(session)
        ]
        user = sum(float(part[row]) for part in parts.user.values())
        base = float(parts.base[row])
        terms = {name: float(part[row].sum()) for name, part in parts.session.items()}
        terms |= {name: float(part[row]) for name, part in parts.user.items()}
        otherwise = _POPULAR if parts.popularity else _FITS if base or any(terms.values()) else _FILLS
        text = self._text(by_item, user if has_past else 0.0) or otherwise
        return {"text": text, "session": by_item, "user": user, "base": base, "terms": terms}

    def _text(self, by_item: list[dict[str, Any]], user: float) -> str:
        """The largest reason in words: the user or an item of the session; empty where neither raises the score."""
        top = max(by_item, key=lambda part: part["contribution"], default=None)
        near, most = "", 0.0
        if top is not None and top["contribution"] > 0:
            near, most = (
                f"{_RELATIONS.get(top['relation'], 'goes with')} {self.names[top['item']]}",
                top["contribution"],
            )
        if user <= most:
            return near
        return f"{_EARLIER}, and {near}" if near else _EARLIER
