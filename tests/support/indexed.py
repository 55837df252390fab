"""Models with some hundred items, and indices of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import lean_models
import numpy as np
import pyarrow as pa
import torch
import worlds

from segue.artifact.contents import Contents
from segue.artifact.names import MANIFEST
from segue.data.arrays import IntArray
from segue.lean.hg_gnn import LeanHGGNN
from segue.lean.index import building, sample
from segue.lean.index.lists import Lists
from segue.lean.index.plan import Plan
from segue.lean.model import Floats, Shortlist
from segue.lean.request import Asked
from segue.serving.index import IndexSettings, open_index
from segue.serving.recommender import Recommender

ITEMS, USERS = 600, 60
PRESETS = ("segue", "paper", "segue-no-graph")


class World(NamedTuple):
    """A model, an index of its items, and requests."""

    model: LeanHGGNN
    index: Lists
    asked: list[Asked]


@cache
def world(preset: str, sampled: int = ITEMS) -> World:
    """A model of a preset with an index that looks through all its lists. sampled: items of its sample."""
    corpus = worlds.noise(ITEMS, USERS)
    model = worlds.fitted(worlds.small("hg_gnn", preset), corpus)
    with torch.no_grad():
        for parameter in model.parameters():  # type: ignore[attr-defined]
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    model.eval()  # type: ignore[attr-defined]
    lean, random = lean_models.lean_of(model), np.random.default_rng(0)
    assert isinstance(lean, LeanHGGNN)
    sessions = [random.integers(ITEMS, size=random.integers(1, 9)).tolist() for _ in range(40)]
    asked = [
        lean_models.asked_of(model, items, number % (USERS + 1), [items[:2], items[-1:]])
        for number, items in enumerate(sessions)
    ]
    index = Lists(plan_of(lean, asked, sampled), lean.vectors)
    index.breadth = index.lists
    return World(lean, index, asked)


def recommender(folder: Path, settings: IndexSettings | None = None) -> Recommender:
    """The model of preset segue as one that answers; with settings, by an index. folder: what it is made from."""
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST).write_text("the seal of this world")
    items, users = ([f"{kind}{number}" for number in range(n)] for kind, n in (("i", ITEMS), ("u", USERS)))
    tables = pa.table({"item_id": items}), pa.table({"user_id": users})
    found = Recommender(Contents(folder, *tables, worlds.noise(ITEMS, USERS).train, {}), world("segue").model)
    if settings is not None:
        found.index, found.index_facts = open_index(found, settings)
    return found


def plan_of(model: LeanHGGNN, asked: Sequence[Asked], sampled: int = ITEMS) -> Plan:
    """A plan for a model that measures with no session."""
    random, vectors = np.random.default_rng(0), model.session_vectors(asked)
    scale = building.scale_of(vectors)
    items, probability = sample.draw(building.mean_share(model.vectors, [vectors]), sampled, random)
    none = np.zeros((0, 20), dtype=np.int32)
    centres, list_of = building.cluster(model.vectors, scale, random)
    return Plan(scale, centres, list_of, items.astype(np.int32), probability, none, none.astype(np.float32))


def in_order(found: Shortlist) -> IntArray:
    """Items of a shortlist, best first."""
    return np.asarray(found.items[np.argsort(-found.scores, kind="stable")])


def exact(model: LeanHGGNN, asked: Asked) -> Floats:
    """The scores of all items for one request, [items]."""
    return np.asarray(model.score([asked]).scores[0])
