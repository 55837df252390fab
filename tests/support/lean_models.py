"""Lean models of models in memory, and requests that both are asked."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import worlds
from safetensors.torch import save_file

from segue.artifact.arrays import StoredArrays
from segue.contract.model import SessionModel
from segue.data.batches import Batch
from segue.data.batches import Past as BatchPast
from segue.data.batches import request as batch_of
from segue.lean import forms
from segue.lean.model import Answering
from segue.lean.request import Asked, Past

NOW = worlds.BEGINNING + 900 * worlds.DAY


def lean_of(model: SessionModel) -> Answering:
    """The lean form of a model, by way of files as a model folder has them."""
    assert model.lean_form is not None
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("model", "derived")]
        for path, arrays in zip(files, (model.arrays(), model.derived()), strict=True):
            save_file({name: array.detach().contiguous() for name, array in arrays.items()}, path)
        with StoredArrays(files[0]) as own, StoredArrays(files[1]) as derived:
            options = json.loads(model.config.model_dump_json())
            return forms.build(model.lean_form, own, derived, options, model.n_items, model.n_users)


def asked_of(
    model: SessionModel,
    items: Sequence[int],
    user: int,
    sessions: Sequence[Sequence[int]] = (),
    *,
    fresh: bool = True,
    time: int = NOW,
    day: int = worlds.DAY,
) -> Asked:
    """A request of a user with earlier sessions, a day apart; the last one ended a day before NOW."""
    flat = np.array([item for session in sessions for item in session], dtype=np.int64)
    offsets = np.cumsum([0, *map(len, sessions)])
    age = len(sessions) - np.repeat(np.arange(len(sessions)), list(map(len, sessions)))
    past = Past(flat, NOW - age.astype(np.int64) * day, offsets)
    window = np.array(items, dtype=np.int64)[-model.config.window.length :]
    return Asked(window, user, time, past, fresh)


def batch(asked: Asked, length: int) -> Batch:
    """The same request as torch is asked it."""
    return batch_of(asked.items, asked.user, asked.time, BatchPast(*asked.past), length, fresh=asked.fresh)


def torch_scores(model: SessionModel, asked: Asked) -> np.ndarray:
    """The scores of all items by torch, [items]."""
    with torch.no_grad():
        return model.scores(batch(asked, model.config.window.length))[0].double().numpy()


__all__ = ["NOW", "asked_of", "batch", "lean_of", "replace", "torch_scores"]
