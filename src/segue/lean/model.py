"""What everything that answers requests offers, with or without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from segue.data.arrays import IntArray
from segue.lean.request import Asked

Floats = npt.NDArray[np.floating[Any]]
Arrays = Mapping[str, npt.NDArray[Any]]


def window_of(options: Mapping[str, Any]) -> tuple[int, int]:
    """Most items of the running session, and of the user's earlier sessions, that are looked at, by a model's options.

    Raises ValueError without them."""
    window = options.get("window")
    length, history = (window.get(name) if isinstance(window, dict) else None for name in ("length", "history"))
    if not isinstance(length, int) or not isinstance(history, int) or length < 1 or history < 0:
        raise ValueError(f"option window is {window!r:.60}, expected numbers of items")
    return length, history


def cosines(vectors: Floats, item: int) -> Floats:
    """Cosine of one of the vectors [items, dim] with each of them, [items]; 0 for a vector of zeros."""
    lengths = np.sqrt(np.einsum("id,id->i", vectors, vectors))
    return np.asarray(vectors @ vectors[item] / np.maximum(lengths * lengths[item], np.finfo(vectors.dtype).tiny))


@dataclass(frozen=True)
class Parts:
    """The parts of the scores of k items for one request, see :class:`segue.nn.encoding.ScoreParts`.

    All parts sum to the score. session: per term [k, items of the session]; user and everybody: per term [k]; base
    [k]: the rest. popularity: whether `base` is the popularity of the items with everybody. words: what a term says of
    an item that it recommends, by its name.
    """

    session: Mapping[str, Floats] = field(default_factory=dict)
    user: Mapping[str, Floats] = field(default_factory=dict)
    base: Floats = field(default_factory=lambda: np.zeros(0))
    popularity: bool = False
    everybody: Mapping[str, Floats] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    def total(self) -> Floats:
        """Sum of all parts, which is the score, [k]."""
        return sum(
            [*(part.sum(1) for part in self.session.values()), *self.user.values(), *self.everybody.values()],
            start=self.base,
        )


@dataclass(frozen=True)
class Attention:
    """How a model weighs the items of one session, the oldest first; a term that it does without is None.

    current, general: weight of each item in the current and in the general preference. gate: share of the current
    preference in each coordinate of their sum; None where there is only one of them.
    """

    current: list[float] | None
    general: list[float] | None
    gate: list[float] | None


class Scored(Protocol):
    """Requests with their scores, and what it takes to explain them."""

    @property
    def scores(self) -> Floats:
        """Scores of all items, [requests, items]."""
        ...

    def parts(self, row: int, items: IntArray) -> Parts:
        """The scores of `items` [k] for one of the requests, split into summands."""
        ...

    def attention(self, row: int) -> Attention | None:
        """How the session of one of the requests is weighed; None for a model that cannot tell."""
        ...


@dataclass(frozen=True)
class Shortlist:
    """Some items with their scores for one request, the best of all items among them.

    Attributes:
        items: ascending, [c]. scores: [c].
        plain: whether the score of an item is that of its vectors alone, bool [c]. Every item that is left out is plain
            and scores below all plain ones, as far as the index is right.
    """

    items: IntArray
    scores: Floats
    plain: npt.NDArray[np.bool_]


class Index(Protocol):
    """Finds the items whose vectors have the largest products with that of a request.

    Attributes:
        n_items: items that it knows, those with numbers below.
    """

    n_items: int

    def search(self, vectors: Floats, most: int) -> IntArray:
        """For each vector [requests, coordinates] the items found, [requests, most]; -1 where there are fewer."""
        ...

    def log_rest(self, vector: Floats, items: IntArray) -> float:
        """Log of the sum of e^product of a vector [coordinates] over all items but some (ascending), estimated."""
        ...


class WithoutAttention:
    """What scored requests of a model without attention say of it."""

    def attention(self, row: int) -> Attention | None:
        """Nothing, whatever the request."""
        return None


class WithoutGraph:
    """What a model without a graph says of it."""

    def relations_to(self, item: int, sources: IntArray) -> list[str | None]:
        """No relation, whatever the items."""
        return [None] * len(sources)


class Answering(Protocol):
    """A model that answers requests.

    Attributes:
        n_items, n_users: items, and known users.
        length: most items of the running session that the model looks at.
    """

    n_items: int
    n_users: int
    length: int

    def score(self, asked: Sequence[Asked]) -> Scored:
        """Score all items for each request; larger is better."""
        ...

    def relations_to(self, item: int, sources: IntArray) -> list[str | None]:
        """The strongest relation of the graph that leads from each of a session's items to a recommended one, if
        any."""
        ...

    def similar(self, item: int) -> Floats:
        """How similar each item is to this one, [items]. Raises RequestError where the model cannot tell."""
        ...
