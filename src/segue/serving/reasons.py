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
        everybody = sum(float(part[row]) for part in parts.everybody.values())
        base = float(parts.base[row]) + everybody
        terms = {name: float(part[row].sum()) for name, part in parts.session.items()}
        terms |= {name: float(part[row]) for name, part in parts.user.items()}
        otherwise = _POPULAR if parts.popularity else _FITS if base or any(terms.values()) else _FILLS
        near = self._near(by_item, parts, row)
        causes = [(user if has_past else 0.0, parts.user, _EARLIER), (everybody, parts.everybody, _POPULAR)]
        others = [(value, _strongest(parts, of, row, words)) for value, of, words in causes]
        text = _text(near, max(others)) or otherwise
        of_everybody = {name: float(part[row]) for name, part in parts.everybody.items()}
        because = {"text": text, "session": by_item, "user": user, "base": base, "terms": terms}
        return because | {"everybody": of_everybody}

    def _near(self, by_item: list[dict[str, Any]], parts: ScoreParts, row: int) -> tuple[float, str]:
        """What the item of the session that raises the score most gives, and in words why."""
        top = max(range(len(by_item)), key=lambda cell: by_item[cell]["contribution"], default=None)
        if top is None:
            return 0.0, ""
        at_top = {name: part[:, top] for name, part in parts.session.items()}
        relation = f"{_RELATIONS.get(by_item[top]['relation'], 'goes with')} {{item}}"
        words = _strongest(parts, at_top, row, relation)
        return by_item[top]["contribution"], words.replace("{item}", self.names[by_item[top]["item"]])


def _strongest(parts: ScoreParts, terms: Mapping[str, Tensor], row: int, otherwise: str) -> str:
    """The words of the term that raises the score most, where it has some."""
    name = max(terms, key=lambda name: float(terms[name][row]), default="")
    return parts.words.get(name, otherwise)


def _text(near: tuple[float, str], other: tuple[float, str]) -> str:
    """The larger of two causes in words, after `other` also the near one; empty where neither raises the score."""
    words = [cause for value, cause in (other, near) if value > 0]
    return near[1] if near[0] >= other[0] > 0 else ", and ".join(words)
