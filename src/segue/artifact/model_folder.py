"""Trained models on disk: JSON, safetensors and Parquet, sealed by a manifest. No pickle anywhere.

    MODEL/
      config.json           settings, model name, sizes, what it was trained on, where it came from, what fit chose
      model.safetensors     parameters and counts, graph included
      answers.safetensors   what is constant in every answer, for models that answer without torch
      history.safetensors   the users' train sessions, for requests of known users
      items.parquet  users.parquet     vocabularies with names
      metrics.jsonl         one line per epoch (refit.jsonl: the epochs of a refit)
      corpus/               the prepared data, where `segue fit` made it
      manifest.json         format version and sha256 of every file above

What is computed later (evaluation/) is not sealed. Unfinished runs: ``partial_run.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from segue import models
from segue.artifact.contents import contents_of, facts_in, unreadable
from segue.artifact.names import ANSWERS, ANSWERS_FORMAT, FORMAT, is_model_file
from segue.artifact.seal import check_seal, refuse_unless_model
from segue.contract.model import SessionModel
from segue.data.corpus import Corpus, Sessions
from segue.data.origin import MADE_FROM, Origin
from segue.errors import ArtifactError, ConfigError, UserMistake, first_line
from segue.settings import Settings
from segue.system.atomic import aside, write_text, writing
from segue.system.folders import FolderKind
from segue.system.json_files import check_regular
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
    """Write the model's own files into `folder`. `corpus.train` becomes the history of its users.

    Args:
        facts: among them ``trained_on``, the names of the parts that `corpus.train` holds.
    """
    with writing(folder):
        with aside(folder / "model.safetensors") as new:
            save_file(_on_cpu(model.arrays()), new)
        write_answers(folder / ANSWERS, model)
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
            MADE_FROM: _origins(folder, corpus, facts["trained_on"]),
            **facts,
        }
        write_text(folder / "config.json", json.dumps(config, indent=1, ensure_ascii=False) + "\n")


def _origins(folder: Path, corpus: Corpus, trained_on: Sequence[str]) -> dict[str, Any]:
    """File → the origin of what is in it; that of the vocabularies is the corpus's own record, where it has one."""
    newest = int(corpus.train.times.max()) if len(corpus.train) else None
    own = Origin(tuple(trained_on), newest).as_dict()
    files = [name for name in ("model.safetensors", ANSWERS, "history.safetensors") if (folder / name).exists()]
    recorded = corpus.manifest.get(MADE_FROM, {})
    names = [name for name in ("items.parquet", "users.parquet") if name in recorded]
    return {**dict.fromkeys(files, own), **{name: recorded[name] for name in names}}


def write_answers(path: Path, model: SessionModel) -> None:
    """Write what answers without torch need beside the model's arrays, where the model has such a form."""
    if model.answering_form is None:
        path.unlink(missing_ok=True)
        return
    texts = {"format": ANSWERS_FORMAT, "form": model.answering_form, "options": model.config.model_dump_json()}
    with aside(path) as new:
        save_file(_on_cpu(model.derived()), new, metadata=texts)


def _on_cpu(arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in arrays.items()}


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
        found = contents_of(folder, facts)
        model = models.build(settings)
        model.restore(_read_arrays(folder / "model.safetensors"), facts["n_items"], facts["n_users"])
        if isinstance(model, nn.Module):
            model.eval()  # who reads a model asks it; a training begins with train()
    except (OSError, ValueError, UserMistake) as error:
        raise unreadable(folder, error) from None
    return Artifact(folder, model, settings, found.items, found.users, found.history, facts)


def read_facts(folder: Path) -> tuple[dict[str, Any], Settings]:
    """The contents of ``config.json``, and the settings in it. Raises ArtifactError when they cannot be used."""
    try:
        return _read_facts(folder)
    except (OSError, ValueError, ConfigError) as error:
        raise unreadable(folder, error) from None


def _read_facts(folder: Path) -> tuple[dict[str, Any], Settings]:
    facts = facts_in(folder)
    return facts, models.stored(facts["settings"])


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
