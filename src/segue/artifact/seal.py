"""The seal of a model folder: ``manifest.json`` with the format and the sha256 of every file of the model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from segue.artifact.names import CORPUS, CORPUS_FILES, EPOCH_FILES, FORMAT, MANIFEST, MODEL_FILES
from segue.errors import ArtifactError
from segue.system.atomic import write_text, writing


def seal(folder: Path) -> None:
    """Write the manifest: sha256 of every file that belongs to the model, by its name; no other file is sealed."""
    with writing(folder):
        files = {name: _sha256(folder / name) for name in _sealed_names(folder)}
        write_text(folder / MANIFEST, json.dumps({"format": FORMAT, "sha256": files}, indent=1) + "\n")


def check_seal(folder: Path, *, of_corpus: bool = False) -> None:
    """Compare the model's own files with the manifest, or the files of its corpus.

    Raises ArtifactError naming the first that is missing or differs.
    """
    for name, expected in _sealed_hashes(folder).items():
        if (Path(name).parts[:1] == (CORPUS,)) != of_corpus:
            continue
        path = folder / name
        try:
            if not path.is_file():
                raise ArtifactError(f"the model {folder} is damaged: {name} is missing; train it again")
            if _sha256(path) != expected:
                raise ArtifactError(f"the model {folder} is damaged: {name} has changed since; train it again")
        except OSError as error:
            raise ArtifactError(f"the model {folder} cannot be read: {name}: {error.strerror}") from None


def refuse_unless_model(folder: Path) -> None:
    """Raise ArtifactError unless the folder is a model that Segue wrote, of whatever version of the format."""
    if not is_model(folder):
        raise ArtifactError(f"{folder} is not a model that Segue wrote; it is not replaced, choose another --out")


def is_model(folder: Path) -> bool:
    """Whether the folder is a finished model of Segue, by its manifest, of whatever version of the format."""
    try:
        return str(_manifest(folder)["format"]).startswith("segue-model-")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _sealed_hashes(folder: Path) -> dict[str, str]:
    """The sha256 of each file according to the manifest."""
    try:
        manifest = _manifest(folder)
        version = manifest["format"]
        hashes = dict(manifest["sha256"]) if version == FORMAT else {}
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactError(
            f"{folder} is not a trained model: no {MANIFEST}; make one with: segue fit LOG --out MODEL"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ArtifactError(f"the model {folder} is damaged: {MANIFEST} ({reason}); train it again") from None
    if version != FORMAT:
        raise ArtifactError(f"{folder} has format {version!r}, this Segue reads {FORMAT!r}; train it again")
    return hashes


def _manifest(folder: Path) -> Any:
    return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))


def _sealed_names(folder: Path) -> list[str]:
    corpus = CORPUS_FILES if (folder / CORPUS).exists() else ()
    epochs = [name for name in EPOCH_FILES if (folder / name).exists()]
    return sorted([*MODEL_FILES, *corpus, *epochs])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
