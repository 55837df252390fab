"""Small trained models that answer, and short forms of their answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import small_logs

import segue
from segue.serving.answer import Answer
from segue.serving.recommender import Recommender

KNOWN, TWIN, OTHER = small_logs.user(0), small_logs.user(2), small_logs.user(1)
"""Two users of taste a and one of taste b."""


@cache
def model() -> Recommender:
    return segue.load(small_logs.fitted_model())


@cache
def counting(name: str, preset: str) -> Recommender:
    return segue.load(small_logs.counting_model(name, preset))


def ids(answer: Answer) -> list[str]:
    return [entry.item for entry in answer]


def scores(answer: Answer) -> dict[str, float]:
    return {entry.item: entry.score for entry in answer}


def everything(user: str | None, items: Sequence[str] = (), **how: Any) -> dict[str, float]:
    return scores(model().recommend(user, items, k=len(model().artifact.items), **how))
