"""Trained models on disk: JSON, safetensors and Parquet, sealed by a manifest. No pickle anywhere.

    MODEL/
      config.json           settings, model name, sizes, what it was trained on, where it came from
      model.safetensors     parameters and counts, graph included
      history.safetensors   the users' train sessions, for requests of known users
      items.parquet  users.parquet     vocabularies with names
      metrics.jsonl         a line an epoch (refit.jsonl: the epochs of a refit)
      corpus/               the prepared data, where `segue fit` made it
      manifest.json         format version and sha256 of every file above

What is computed later (evaluation/) is not sealed. Unfinished runs: ``runs.py``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from segue import models
from segue.contract.model import SessionModel
from segue.data.corpus import FILES, Corpus, Part, Sessions
from segue.errors import ArtifactError
from segue.settings import Settings
from segue.system.atomic import UNFINISHED, aside, write_text, writing
from segue.system.folders import refuse_foreign, refuse_nameless

FORMAT = "segue-model-1"
RUN_NOTE = "run.json"
"""What an unfinished run was started with."""
CHECKPOINT = ".checkpoint"
CORPUS = "corpus"
"""The prepared data inside a model folder. Serving does not open it."""
STAGES = ("metrics", "refit", "final")
"""The fits of a run; each names a file of epochs and a checkpoint."""
_UNSEALED = ("manifest.json", "evaluation", "tensorboard", "report.html", RUN_NOTE)
_OURS = (
    *(RUN_NOTE, "manifest.json", "config.json", "report.html", "items.parquet", "users.parquet"),
    *("model.safetensors", "history.safetensors"),
    *(f"{stage}{suffix}" for stage in STAGES for suffix in (".jsonl", CHECKPOINT)),
    *(f"tensorboard/{stage}/events.out.tfevents.*" for stage in STAGES),
    *(f"{CORPUS}/{file}" for file in FILES),
    *(f"evaluation/{part.name.lower()}{suffix}" for part in Part for suffix in (".json", ".ranks.parquet")),
    # What a killed process leaves: a corpus half prepared, spilled tables.
    f".{CORPUS}.*.partial/*",
    "scratch/*",
)
"""Every file of a model or an unfinished run, relative to its folder; as shell patterns, * also crosses folders."""


@dataclass(frozen=True)
class Artifact:
    """A trained model as read back, on the CPU."""

    folder: Path
    model: SessionModel
    settings: Settings
    items: pa.Table
    users: pa.Table
    history: Sessions
    """The users' train sessions; ``number`` is their place here."""
    facts: dict[str, Any]
    """config.json."""


def write_model(
    folder: Path, model: SessionModel, corpus: Corpus, settings: Settings, facts: Mapping[str, Any]
) -> None:
    """Write the model's own files into `folder`. `corpus.train` becomes the history of its users."""
    arrays = {name: tensor.detach().cpu().contiguous() for name, tensor in model.arrays().items()}
    with writing(folder):
        save_file(arrays, folder / "model.safetensors")
        train = corpus.train
        history = {"items": train.items, "times": train.times, "offsets": train.offsets, "user": train.user}
        save_file({name: torch.tensor(array) for name, array in history.items()}, folder / "history.safetensors")
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


def seal(folder: Path) -> None:
    """Write the manifest: sha256 of every file that belongs to the model."""
    with writing(folder):
        files = {str(path.relative_to(folder)): _sha256(path) for path in _sealed_files(folder)}
        write_text(folder / "manifest.json", json.dumps({"format": FORMAT, "sha256": files}, indent=1) + "\n")


def check_seal(folder: Path, *, of_corpus: bool = False) -> None:
    """Compare the model's own files with the manifest, or those of the corpus inside it: what is about to be read.

    Raises ArtifactError naming the first that is missing or differs.
    """
    for name, expected in _sealed_hashes(folder).items():
        if (Path(name).parts[:1] == (CORPUS,)) != of_corpus:
            continue
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"the model {folder} is damaged: {name} is missing; train it again")
        if _sha256(path) != expected:
            raise ArtifactError(f"the model {folder} is damaged: {name} has changed since; train it again")


def load_model(folder: Path) -> Artifact:
    """Read a trained model onto the CPU, but not its corpus.

    Raises ArtifactError when it is missing, damaged or of another format.
    """
    check_seal(folder)
    return read_model(folder)


def read_model(folder: Path) -> Artifact:
    """The same for the model of a running run, which is not sealed yet."""
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
    """Raise ArtifactError when `out` is there and may not be replaced. An empty folder is not in the way."""
    refuse_nameless(out, ArtifactError)
    with writing(out):
        _former(out).exists()  # raises when the name that publish needs is too long for the file system
        if not out.exists() or (out.is_dir() and not any(out.iterdir())):
            return
    if not overwrite:
        raise ArtifactError(f"{out} exists already; choose another --out, or pass --overwrite to replace it")
    if not _is_model(out):
        raise ArtifactError(f"{out} is not a model that Segue wrote; it is not replaced, choose another --out")
    refuse_others_files(out)


def refuse_others_files(folder: Path) -> None:
    """Raise ArtifactError naming a file in a model or an unfinished run that Segue did not write."""
    refuse_foreign(folder, _is_ours, ArtifactError)


def _is_ours(path: Path) -> bool:
    return any(fnmatchcase(path.as_posix().removesuffix(UNFINISHED), pattern) for pattern in _OURS)


def _former(out: Path) -> Path:
    return out.with_name(f".{out.name}.former-{os.getpid()}")


def publish(finished: Path, out: Path) -> None:
    """Rename a finished folder into place; an `out` that is replaced disappears only once the new one is there."""
    with writing(out):
        if not out.exists():
            finished.rename(out)
            return
        former = _former(out)
        out.rename(former)
        try:
            finished.rename(out)
        except OSError:
            former.rename(out)
            raise
        shutil.rmtree(former, ignore_errors=True)


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """One file, replaced at once: an interrupted write leaves the checkpoint before it."""
    with writing(path.parent), aside(path) as new:
        save_file({k: t.detach().cpu().contiguous() for k, t in tensors.items()}, new, {"state": json.dumps(state)})


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the state of :func:`save_checkpoint`. Raises ArtifactError when the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["state"])
        return load_file(path), state
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ArtifactError(f"the checkpoint {path} cannot be read ({error}); start again with --overwrite") from None


def _sealed_hashes(folder: Path) -> dict[str, str]:
    """File → sha256, as the manifest has them."""
    try:
        manifest = _manifest(folder)
        found = manifest["format"]
        hashes = dict(manifest["sha256"]) if found == FORMAT else {}
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactError(f"{folder} is not a trained model: no manifest.json; make one with: segue fit") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ArtifactError(f"the model {folder} is damaged: manifest.json ({reason}); train it again") from None
    if found != FORMAT:
        raise ArtifactError(f"{folder} has format {found!r}, this Segue reads {FORMAT!r}; train it again")
    return hashes


def _is_model(folder: Path) -> bool:
    try:
        return str(_manifest(folder)["format"]).startswith("segue-model-")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _manifest(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def _sealed_files(folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != CHECKPOINT)
    return sorted(path for path in files if path.relative_to(folder).parts[0] not in _UNSEALED)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
