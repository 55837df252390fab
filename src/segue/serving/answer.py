"""The answer to a request: recommended items, and what has to be said about the request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload


@dataclass(frozen=True)
class Recommendation:
    """One recommended item.

    Attributes:
        item: the id of the item.
        score: the raw logit.
        because: where the score comes from. ``text``: the reason in words; ``session``: for each item of the session
            its exact contribution to the score and the graph's relation from it to the recommended item; ``user`` and
            ``base``: the other contributions; ``terms``: the contributions by term of the model. Those of session,
            user and base sum to the score. Empty where no reasons were asked for.
        discovery: whether places were reserved for items new to the user, and this is one.
    """

    item: str
    score: float
    because: dict[str, Any] = field(default_factory=dict)
    discovery: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape; ``because`` stands only where reasons were asked for, ``discovery`` only where it is true."""
        explained = {"because": self.because} if self.because else {}
        marked = {"discovery": True} if self.discovery else {}
        return {"item": self.item, "score": self.score, **explained, **marked}


@dataclass(frozen=True)
class Answer(Sequence[Recommendation]):
    """The recommendations, best first, and what has to be said about the request."""

    items: tuple[Recommendation, ...]
    skipped: tuple[str, ...]
    """Items of the request that the model does not know."""
    user_known: bool
    warnings: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> Recommendation: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Recommendation, ...]: ...
    def __getitem__(self, index: int | slice) -> Recommendation | tuple[Recommendation, ...]:
        return self.items[index]

    def __iter__(self) -> Iterator[Recommendation]:
        return iter(self.items)

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape that scripts rely on."""
        return {
            "items": [item.as_dict() for item in self.items],
            "skipped": list(self.skipped),
            "user_known": self.user_known,
            "warnings": list(self.warnings),
        }
