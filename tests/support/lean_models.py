"""Lean models of models in memory, and requests that both are asked."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import worlds
from hypothesis import strategies as st
from safetensors.torch import save_file

from segue.artifact.arrays import StoredArrays
from segue.contract.memory_sources import SOURCES
from segue.contract.model import SessionModel
from segue.data.batches import Batch
from segue.data.batches import Past as BatchPast
from segue.data.batches import request as batch_of
from segue.lean import forms
from segue.lean.model import Answering, Floats, Parts
from segue.lean.request import Asked, Past
from segue.nn.encoding import ScoreParts

NOW = worlds.BEGINNING + 900 * worlds.DAY
TOLERANCE = 1e-5

ITEM = st.integers(0, 11)  # item 11 occurs nowhere
USER = st.integers(0, 6)  # user 6 is the unknown one
sessions = st.lists(st.lists(ITEM, min_size=1, max_size=6), max_size=70)
requests = st.fixed_dictionaries(
    {
        "items": st.lists(ITEM, min_size=1, max_size=25),
        "user": USER,
        "sessions": sessions,
        "time": st.integers(-1000, 1000).map(lambda days: NOW + days * worlds.DAY),
    }
)
"""Requests in the busy world: sessions, users, given histories, times before train and long after it."""

chosen = st.lists(st.sampled_from(SOURCES), unique=True).map(tuple)
switches = st.fixed_dictionaries(
    {
        "layers": st.integers(0, 3),
        "preferences": st.sampled_from([(True, True), (True, False), (False, True)]),
        "user_nodes": st.booleans(),
        "user_term": st.booleans(),
        "popularity": st.booleans(),
        "memory": chosen,
        "pointer": chosen,
        "accumulate": st.sampled_from(["mean", "sum"]),
        "homogeneous": st.booleans(),
        "multiplicity": st.booleans(),
        "hidden": st.sampled_from(["linear", "tanh"]),
        "attention": st.sampled_from(["softmax", "raw"]),
        "gate": st.sampled_from(["vector", "scalar"]),
        "add_user": st.booleans(),
        "window": st.sampled_from([{"length": 20, "history": 1000}, {"length": 4, "history": 7}]),
    }
)
"""Options of HG-GNN, at random."""


def lean_of(model: SessionModel) -> Answering:
    """The lean form of a model, by way of files as a model folder has them."""
    assert model.lean_form is not None
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("model", "derived")]
        for path, arrays in zip(files, (model.arrays(), model.derived()), strict=True):
            save_file({name: array.detach().contiguous() for name, array in arrays.items()}, path)
        own, derived = map(StoredArrays, files)
        options = json.loads(model.config.model_dump_json())
        return forms.build(model.lean_form, own, derived, options, model.n_items, model.n_users)


def asked_of(
    model: SessionModel, items: Sequence[int], user: int, sessions: Sequence[Sequence[int]] = (), time: int = NOW
) -> Asked:
    """A request of a user with given earlier sessions, a day apart; the last one was a day before NOW."""
    flat = np.array([item for session in sessions for item in session], dtype=np.int64)
    lengths = np.array([len(session) for session in sessions], dtype=np.int64)
    age = np.repeat(len(sessions) - np.arange(len(sessions)), lengths)
    past = Past(flat, NOW - age * worlds.DAY, np.append(0, np.cumsum(lengths)))
    window = np.array(items, dtype=np.int64)[-model.config.window.length :]
    return Asked(window, user, time, past, fresh=True)


def trained_history(user: int) -> Past:
    """What train of the busy world saw of a user."""
    train = worlds.busy().train
    own = np.flatnonzero(train.user == user)
    first, last = train.offsets[own[0]], train.offsets[own[-1] + 1]
    offsets = train.offsets[own[0] : own[-1] + 2] - first
    return Past(train.items[first:last].astype(np.int64), train.times[first:last], offsets)


def batch(asked: Asked, length: int) -> Batch:
    """The same request as torch is asked it."""
    return batch_of(asked.items, asked.user, asked.time, BatchPast(*asked.past), length, fresh=asked.fresh)


def assert_equal(model: SessionModel, lean: Answering, asked: Sequence[Asked]) -> None:
    """Scores and parts are those of torch, and the parts sum to the scores, for each of some requests."""
    scored = lean.score(asked)
    everything = np.arange(model.n_items)
    for row, each in enumerate(asked):
        of_torch = batch(each, model.config.window.length)
        with torch.no_grad():
            wanted = model.scores(of_torch)[0].double().numpy()
            parts = model.parts(of_torch, torch.from_numpy(everything))
        close(scored.scores[row], wanted)
        same_order(scored.scores[row], wanted)
        found = scored.parts(row, everything)
        close(found.total(), scored.scores[row])
        assert_same_parts(found, parts)


def close(found: Floats, wanted: Any, tolerance: float = TOLERANCE) -> None:
    """Equal to 1e-5 unless told otherwise, relative where values are large."""
    np.testing.assert_allclose(np.asarray(found, dtype=np.float64), wanted, rtol=tolerance, atol=tolerance)


def same_order(found: Floats, wanted: Floats, k: int = 20, tolerance: float = TOLERANCE) -> None:
    """The same k best in the same order, but for scores that are as good as equal."""
    ours, theirs = (np.argsort(-scores, kind="stable")[:k] for scores in (found, wanted))
    differ = ours != theirs
    close(wanted[ours[differ]], wanted[theirs[differ]], tolerance)


def assert_same_parts(found: Parts, wanted: ScoreParts) -> None:
    """The same terms with the same values."""
    for group in ("session", "user", "everybody"):
        ours, theirs = getattr(found, group), getattr(wanted, group)
        assert set(ours) == set(theirs)
        for name, part in theirs.items():
            close(ours[name], part.double().numpy())
    close(found.base, wanted.base.double().numpy())
    assert found.popularity == wanted.popularity
    assert dict(found.words) == dict(wanted.words)
