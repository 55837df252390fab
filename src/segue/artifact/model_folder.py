"""Trained models on disk: JSON, safetensors and Parquet, sealed by a manifest. No pickle anywhere.

    MODEL/
      config.json           settings, model name, sizes, what it was trained on, where it came from, what fit chose
      model.safetensors     parameters and counts, graph included
      history.safetensors   the users' train sessions, for requests of known users
      items.parquet  users.parquet     vocabularies with names
      metrics.jsonl         one line per epoch (refit.jsonl: the epochs of a refit)
      corpus/               the prepared data, where `segue fit` made it
      manifest.json         format version and sha256 of every file above

What is computed later (evaluation/) is not sealed. Unfinished runs: ``partial_run.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from segue import models
from segue.artifact.names import FORMAT, is_model_file
from segue.artifact.seal import check_seal, refuse_unless_model
from segue.contract.model import SessionModel
from segue.data.checks import check_sessions, check_vocabulary, read_table
from segue.data.corpus import Corpus, Sessions
from segue.data.stored import Layout, check_arrays
from segue.errors import ArtifactError, ConfigError, UserMistake, first_line
from segue.settings import Settings
from segue.system.atomic import aside, write_text, writing
from segue.system.folders import FolderKind
from segue.system.json_files import check_regular, read_object
from segue.system.replacing import publish

MODEL_FOLDER = FolderKind(ArtifactError, refuse_unless_model, is_model_file)
"""Model folders: a folder is one of Segue's by its manifest."""


@dataclass(frozen=True)
class Artifact:
    """A trained model in memory, on the CPU."""

    folder: Path
    model: SessionModel
    settings: Settings
    items: pa.Table
    users: pa.Table
    history: Sessions
    """The users' train sessions; ``number`` counts them from 0."""
    facts: dict[str, Any]
    """The contents of ``config.json``."""


def write_model(
    folder: Path, model: SessionModel, corpus: Corpus, settings: Settings, facts: Mapping[str, Any]
) -> None:
    """Write the model's own files into `folder`. `corpus.train` becomes the history of its users."""
    arrays = {name: tensor.detach().cpu().contiguous() for name, tensor in model.arrays().items()}
    with writing(folder):
        with aside(folder / "model.safetensors") as new:
            save_file(arrays, new)
        train = corpus.train
        history = {"items": train.items, "times": train.times, "offsets": train.offsets, "user": train.user}
        with aside(folder / "history.safetensors") as new:
            save_file({name: torch.tensor(array) for name, array in history.items()}, new)
        pq.write_table(corpus.items, folder / "items.parquet")
        pq.write_table(corpus.users, folder / "users.parquet")
        config = {
            "format": FORMAT,
            "settings": settings.model_dump(mode="json"),
            "n_items": model.n_items,
            "n_users": model.n_users,
            "corpus_fingerprint": corpus.fingerprint,
            "protocol": corpus.manifest["settings"]["split"]["protocol"],
            "repeats_in_sessions": corpus.repeats_in_sessions,
            "statistics": model.statistics(),
            **facts,
        }
        write_text(folder / "config.json", json.dumps(config, indent=1, ensure_ascii=False) + "\n")


def load_model(folder: Path) -> Artifact:
    """Read a trained model onto the CPU, but not its corpus.

    What is read is checked, whoever wrote it. Raises ArtifactError when it is missing, damaged or of another format.
    """
    check_seal(folder)
    return read_model(folder)


def read_model(folder: Path) -> Artifact:
    """Read the model of an unfinished run, which is not sealed yet. Raises ArtifactError when that is impossible."""
    try:
        facts, settings = _read_facts(folder)
        items, users = (read_table(folder / f"{name}.parquet") for name in ("items", "users"))
        check_vocabulary(items, "item")
        known = check_vocabulary(users, "user")
        if (facts["n_items"], facts["n_users"]) != (len(items), known):
            raise ValueError(
                f"config.json speaks of {facts['n_items']} items and {facts['n_users']} users, the tables of"
                f" {len(items):,} and {known:,}"
            )
        history = _read_history(folder, len(items), len(users))
        model = models.build(settings)
        model.restore(_read_arrays(folder / "model.safetensors"), len(items), known)
    except (OSError, ValueError, UserMistake) as error:
        raise ArtifactError(f"the model {folder} cannot be read ({first_line(error)}); train it again") from None
    return Artifact(folder, model, settings, items, users, history, facts)


def read_facts(folder: Path) -> tuple[dict[str, Any], Settings]:
    """The contents of ``config.json``, and the settings in it. Raises ArtifactError when they cannot be used."""
    try:
        return _read_facts(folder)
    except (OSError, ValueError, ConfigError) as error:
        raise ArtifactError(f"the model {folder} cannot be read ({first_line(error)}); train it again") from None


def _read_facts(folder: Path) -> tuple[dict[str, Any], Settings]:
    facts = read_object(folder / "config.json")
    if facts.get("format") != FORMAT:
        raise ValueError(f"config.json has format {facts.get('format')!r:.100}, this Segue reads {FORMAT!r}")
    try:
        _Facts.model_validate(facts)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ValueError(f"config.json: {key}: {first['msg'].lower()}, found {first['input']!r:.60}") from None
    return facts, models.stored(facts["settings"])


class _Facts(BaseModel):
    """The keys of ``config.json`` that are read; there may be more."""

    model_config = ConfigDict(strict=True)

    settings: dict[str, Any]
    n_items: int = Field(ge=1)
    n_users: int = Field(ge=0)
    corpus: str = Field(pattern=r"^[^\x00]*$", max_length=4096)
    corpus_fingerprint: str
    trained_on: list[Literal["train", "validation", "test"]] = Field(min_length=1)
    statistics: dict[str, Any]


def _read_history(folder: Path, n_items: int, n_users: int) -> Sessions:
    """The users' train sessions, checked against the numbers of items and of users, unknown ones included."""
    arrays = _read_arrays(folder / "history.safetensors")
    dtypes = {"items": torch.int32, "times": torch.int64, "offsets": torch.int64, "user": torch.int32}
    check_arrays(arrays, {name: Layout(dtype, (None,)) for name, dtype in dtypes.items()})
    history = {name: tensor.numpy() for name, tensor in arrays.items()}
    check_sessions(**history, n_items=n_items, n_users=n_users)
    return Sessions(**history, number=np.arange(len(history["user"])))


def _read_arrays(path: Path) -> dict[str, Tensor]:
    check_regular(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path.name}: {first_line(error)}") from None


def refuse_existing(out: Path, *, overwrite: bool) -> None:
    """Raise ArtifactError when `out` exists and may not be replaced. An empty folder is not in the way."""
    with writing(out):
        MODEL_FOLDER.refuse_existing(out, overwrite=overwrite)


def publish_model(finished: Path, out: Path) -> None:
    """Rename a finished model folder into place. Raises ArtifactError when that fails; nothing is lost then."""
    with writing(out):
        publish(finished, out)
