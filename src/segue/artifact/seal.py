"""The seal of a model folder: ``manifest.json`` with the format and the sha256 of every file of the model."""

from __future__ import annotations

import json
from pathlib import Path

from segue.artifact.names import ANSWERS, CORPUS, CORPUS_FILES, EPOCH_FILES, FORMAT, MANIFEST, MODEL_FILES
from segue.errors import ArtifactError
from segue.system.atomic import write_text, writing
from segue.system.checksums import listed, sha256_of
from segue.system.json_files import read_object


def seal(folder: Path) -> None:
    """Write the manifest: sha256 of every file that belongs to the model, by its name; no other file is sealed."""
    with writing(folder):
        files = {name: sha256_of(folder / name) for name in _sealed_names(folder)}
        write_text(folder / MANIFEST, json.dumps({"format": FORMAT, "sha256": files}, indent=1) + "\n")


def check_seal(folder: Path, *, of_corpus: bool = False) -> None:
    """Compare the model's own files with the manifest, or the files of its corpus.

    A file may be a link to one elsewhere: what it holds is compared all the same. Nothing beside the files of a model
    is opened, whatever the manifest lists.

    Raises ArtifactError naming the first that is missing or differs.
    """
    for name, expected in _sealed_hashes(folder).items():
        if (name in CORPUS_FILES) != of_corpus:
            continue
        try:
            found = sha256_of(folder / name)
        except FileNotFoundError:
            raise ArtifactError(f"the model {folder} is damaged: {name} is missing; train it again") from None
        except OSError as error:
            raise ArtifactError(f"the model {folder} cannot be read: {name}: {error.strerror}") from None
        except ValueError as error:
            raise ArtifactError(f"the model {folder} is damaged: {error}; train it again") from None
        if found != expected:
            raise ArtifactError(f"the model {folder} is damaged: {name} has changed since; train it again")


def is_sealed(folder: Path, name: str) -> bool:
    """Whether the manifest lists a file: one that merely lies in the folder is not the model's."""
    return name in _sealed_hashes(folder)


def refuse_unless_model(folder: Path) -> None:
    """Raise ArtifactError unless the folder is a model that Segue wrote, of whatever version of the format."""
    if not is_model(folder):
        raise ArtifactError(f"{folder} is not a model that Segue wrote; it is not replaced, choose another --out")


def is_model(folder: Path) -> bool:
    """Whether the folder is a finished model of Segue, by its manifest, of whatever version of the format."""
    try:
        return str(read_object(folder / MANIFEST).get("format")).startswith("segue-model-")
    except (OSError, ValueError):
        return False


def _sealed_hashes(folder: Path) -> dict[str, str]:
    """The sha256 of each file according to the manifest."""
    try:
        manifest = read_object(folder / MANIFEST)
        if "format" not in manifest:
            raise ValueError("it names no format")
        version = manifest["format"]
        if version == FORMAT:
            return listed(manifest.get("sha256"), MODEL_FILES, (ANSWERS, *CORPUS_FILES, *EPOCH_FILES))
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactError(
            f"{folder} is not a trained model: no {MANIFEST}; make one with: segue fit LOG --out MODEL"
        ) from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"the model {folder} is damaged: {MANIFEST} ({error}); train it again") from None
    raise ArtifactError(f"{folder} has format {version!r:.100}, this Segue reads {FORMAT!r}; train it again")


def _sealed_names(folder: Path) -> list[str]:
    corpus = CORPUS_FILES if (folder / CORPUS).exists() else ()
    optional = [name for name in (ANSWERS, *EPOCH_FILES) if (folder / name).exists()]
    return sorted([*MODEL_FILES, *corpus, *optional])
