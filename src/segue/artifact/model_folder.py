"""Trained models on disk: JSON, safetensors and Parquet, sealed by a manifest. No pickle anywhere.

    MODEL/
      config.json           settings, model name, sizes, what it was trained on, where it came from
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
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from segue import models
from segue.artifact.names import FORMAT, is_model_file
from segue.artifact.seal import check_seal, refuse_unless_model
from segue.contract.model import SessionModel
from segue.data.corpus import Corpus, Sessions
from segue.errors import ArtifactError
from segue.settings import Settings
from segue.system.atomic import aside, write_text, writing
from segue.system.folders import FolderKind
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

    Raises ArtifactError when it is missing, damaged or of another format.
    """
    check_seal(folder)
    return read_model(folder)


def read_model(folder: Path) -> Artifact:
    """Read the model of an unfinished run, which is not sealed yet. Raises ArtifactError when that is impossible."""
    try:
        facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / "model.safetensors")
        history = {name: tensor.numpy() for name, tensor in load_file(folder / "history.safetensors").items()}
        items, users = (pq.read_table(folder / f"{name}.parquet") for name in ("items", "users"))
        settings = models.stored(facts["settings"])
        model = models.build(settings)
        model.restore(arrays, facts["n_items"], facts["n_users"])
    except (OSError, ValueError, KeyError, SafetensorError, pa.ArrowInvalid, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArtifactError(f"the model {folder} cannot be read ({reason}); train it again") from None
    number = torch.arange(len(history["user"])).numpy()
    sessions = Sessions(history["items"], history["times"], history["offsets"], history["user"], number)
    return Artifact(folder, model, settings, items, users, sessions, facts)


def refuse_existing(out: Path, *, overwrite: bool) -> None:
    """Raise ArtifactError when `out` exists and may not be replaced. An empty folder is not in the way."""
    with writing(out):
        MODEL_FOLDER.refuse_existing(out, overwrite=overwrite)


def publish_model(finished: Path, out: Path) -> None:
    """Rename a finished model folder into place. Raises ArtifactError when that fails; nothing is lost then."""
    with writing(out):
        publish(finished, out)
