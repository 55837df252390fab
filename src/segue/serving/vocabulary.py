"""The ids that a model knows, as numbers, and what can be said about those that it does not know."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from segue.data.arrays import IntArray

_NAMED = 5
"""Most unknown ids that a message names one by one."""


class Vocabulary:
    """The ids of the items, or of the users, of a model.

    Args:
        ids: all ids, in the order of their numbers.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = list(ids)
        self._number = {each: number for number, each in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, each: str) -> bool:
        return each in self._number

    def number(self, each: str) -> int | None:
        """The number of an id; None when it is unknown."""
        return self._number.get(each)

    def add(self, each: str) -> int:
        """A number for an id that is not known yet: the next one."""
        self._number[each] = len(self.ids)
        self.ids.append(each)
        return self._number[each]

    def cut(self, length: int) -> list[str]:
        """Forget the ids from a number on; returns them."""
        gone = self.ids[length:]
        del self.ids[length:]
        for each in gone:
            del self._number[each]
        return gone

    def numbers(self, wanted: Sequence[str]) -> tuple[IntArray, list[str]]:
        """The numbers of the known ids, int64, and the unknown ids; both in the order of `wanted`."""
        known = [self._number[each] for each in wanted if each in self._number]
        return np.array(known, dtype=np.int64), [each for each in wanted if each not in self._number]

    def in_words(self, unknown: Sequence[str]) -> str:
        """Unknown ids for a message, each beside the known id that differs from it in its spelling alone."""
        named = ", ".join(self._with_hint(each) for each in unknown[:_NAMED])
        more = len(unknown) - _NAMED
        return f"{named} and {more} more" if more > 0 else named

    def _with_hint(self, unknown: str) -> str:
        near = self._by_spelling.get(_plain(unknown))
        return f"'{unknown}' (did you mean '{near}'?)" if near is not None else f"'{unknown}'"

    @cached_property
    def _by_spelling(self) -> dict[str, str]:
        return {_plain(each): each for each in reversed(self.ids)}


def _plain(text: str) -> str:
    """A spelling without what often goes wrong: outer blanks, letter case, ``.0``, leading zeros."""
    folded = text.strip().casefold()
    whole = folded.removesuffix(".0")
    return whole.lstrip("0") if whole.isdecimal() else folded
