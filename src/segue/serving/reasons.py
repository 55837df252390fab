"""Reasons of a recommendation: its score split into parts, in ids and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segue.data.arrays import IntArray
from segue.lean.model import Answering, Floats, Parts

_RELATIONS = {
    "adjacent_in": "often comes right after",
    "adjacent_out": "often comes right before",
    "similar": "often shares sessions with",
}
_EARLIER = "from this user's earlier sessions"
_POPULAR = "popular with everybody"
_FITS = "suits this session"
_FILLS = "nothing speaks for it, it fills the list"
Cause = tuple[float, str]
"""What something adds to a score, and in words why."""


class Reasons:
    """Puts the parts of a model's scores in words.

    Args:
        item_ids: id of each item.
        names: id → name for people, of those that have another one.
    """

    def __init__(self, model: Answering, item_ids: Sequence[str], names: Mapping[str, str]) -> None:
        self.model, self.item_ids, self.names = model, item_ids, names

    def of(self, parts: Parts, items: IntArray, session: IntArray, *, has_past: bool) -> list[dict[str, Any]]:
        """The reasons for each of `items` [k]: the ``because`` of a recommendation.

        Args:
            session: numbers of the items of the running session.
            has_past: whether the user's part of the score comes from earlier sessions.
        """
        columns = _Columns(parts, len(items), len(session))
        return [self._because(columns, row, int(item), session, has_past) for row, item in enumerate(items)]

    def _because(self, columns: _Columns, row: int, item: int, session: IntArray, has_past: bool) -> dict[str, Any]:
        """The score of one recommendation split into its parts, in ids and words."""
        relations = self.model.relations_to(item, session)
        by_item = [
            {"item": self.item_ids[source], "contribution": contribution, "relation": relation}
            for source, contribution, relation in zip(session, columns.by_item[row], relations, strict=True)
        ]
        user, everybody = columns.user[row], columns.everybody[row]
        base = columns.base[row] + everybody
        terms = {name: values[row] for name, values in columns.terms.items()}
        parts = columns.parts
        otherwise = _POPULAR if parts.popularity else _FITS if base or any(terms.values()) else _FILLS
        near = self._near(by_item, columns, row)
        causes = [(user if has_past else 0.0, parts.user, _EARLIER), (everybody, parts.everybody, _POPULAR)]
        others = [(value, _strongest(parts, of, row, words)) for value, of, words in causes]
        text = _text(near, max(others)) or otherwise
        of_everybody = {name: float(part[row]) for name, part in parts.everybody.items()}
        because = {"text": text, "session": by_item, "user": user, "base": base, "terms": terms}
        return because | {"everybody": of_everybody}

    def _near(self, by_item: list[dict[str, Any]], columns: _Columns, row: int) -> Cause:
        """What the item of the session that raises the score most gives, and in words why."""
        top = max(range(len(by_item)), key=lambda cell: by_item[cell]["contribution"], default=None)
        if top is None:
            return 0.0, ""
        at_top = {name: part[:, top] for name, part in columns.parts.session.items()}
        relation = f"{_RELATIONS.get(by_item[top]['relation'], 'goes with')} {{item}}"
        words = _strongest(columns.parts, at_top, row, relation)
        return by_item[top]["contribution"], words.replace("{item}", self._name(by_item[top]["item"]))

    def _name(self, item: str) -> str:
        return self.names.get(item, item)


class _Columns:
    """The parts of k items, added up for all of them at once."""

    def __init__(self, parts: Parts, k: int, length: int) -> None:
        self.parts = parts
        none = np.zeros(k)
        by_item = sum(parts.session.values(), start=np.zeros((k, length)))
        self.by_item: list[list[float]] = by_item.tolist()
        self.user: list[float] = sum(parts.user.values(), start=none).tolist()
        self.everybody: list[float] = sum(parts.everybody.values(), start=none).tolist()
        self.base: list[float] = parts.base.tolist()
        summed: dict[str, Floats] = {name: part.sum(1) for name, part in parts.session.items()}
        self.terms: dict[str, list[float]] = {name: part.tolist() for name, part in (summed | dict(parts.user)).items()}


def _strongest(parts: Parts, terms: Mapping[str, Floats], row: int, otherwise: str) -> str:
    """The words of the term that raises the score most, where it has some."""
    name = max(terms, key=lambda name: float(terms[name][row]), default="")
    return parts.words.get(name, otherwise)


def _text(near: Cause, other: Cause) -> str:
    """The larger of two causes in words, after `other` also the near one; empty where neither raises the score."""
    words = [cause for value, cause in (other, near) if value > 0]
    return near[1] if near[0] >= other[0] > 0 else ", and ".join(words)
