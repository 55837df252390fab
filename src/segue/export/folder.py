"""A trained model as a folder of ONNX graphs and JSON, which a program without Segue can answer from.

DIR/
  encoder.onnx   requests → session vectors, and what the memory says of items
  scorer.onnx    these → the scores of all items
  items.json  users.json     number → id; the items also with names and events in training
  manifest.json  inputs and outputs, conventions, what is left out, and the sha256 of every other file
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segue.artifact.contents import Contents
from segue.artifact.names import ANSWERS
from segue.artifact.seal import is_sealed
from segue.errors import ArtifactError, ConfigError
from segue.lean import folder as lean_folder
from segue.lean.hg_gnn import LeanHGGNN
from segue.lean.model import Answering
from segue.system.atomic import write_text, writing
from segue.system.checksums import sha256_of
from segue.system.folders import is_empty_folder, refuse_nameless
from segue.system.holding import held
from segue.system.replacing import followed, publish, under_construction

LARGEST_FILE = 2**31 - 2**26
"""Bytes of weights up to which a graph is one file: the format ends at 2 GiB, beyond it weights have a file beside."""


@dataclass(frozen=True)
class Exported:
    """What was written: the manifest, and the bytes of all files together."""

    manifest: dict[str, Any]
    size: int


def export(model: Path, out: Path) -> Exported:
    """Write a trained model as ONNX graphs into a new folder.

    Raises ConfigError without the library, ArtifactError for a model that is missing, damaged or of a kind that has no
    graphs, and where `out` holds something or cannot be written.
    """
    if importlib.util.find_spec("onnx") is None:
        raise ConfigError("exporting needs one more package, onnx: pip install 'segue[export]'")
    refuse_nameless(out, ArtifactError)
    contents, answering = lean_folder.load(model)
    exportable = _exportable(contents, answering)
    with held(out, ArtifactError):
        place = followed(out)
        if place.exists() and not is_empty_folder(place):
            raise ArtifactError(f"{out} exists already; choose another --onnx, or remove it")
        with writing(out), under_construction(place) as new:
            manifest = _write(new, contents, exportable)
            size = sum(path.stat().st_size for path in new.iterdir())
            publish(new, place)
    return Exported(manifest, size)


def _exportable(contents: Contents, answering: Answering | None) -> LeanHGGNN:
    """The model, where it has graphs. Raises ArtifactError otherwise."""
    if isinstance(answering, LeanHGGNN):
        return answering
    from segue import models  # with torch, which only this message needs

    name = contents.settings.model.name
    of_form = [each for each in models.names() if models.load(each).lean_form == "hg_gnn"]
    if name in of_form:
        found = "has no" if not is_sealed(contents.folder, ANSWERS) else "has another format of"
        raise ArtifactError(f"the model {contents.folder} {found} {ANSWERS}, which export reads; train it again")
    from segue.contract.encoder import SessionEncoder

    network = issubclass(models.load(name), SessionEncoder)
    why = "there are no graphs of its network" if network else "it counts, and has no session encoder"
    raise ArtifactError(
        f"{contents.folder}: {name} cannot be exported: {why}; what can be: {', '.join(of_form)}, with any preset"
    )


def _write(folder: Path, contents: Contents, model: LeanHGGNN) -> dict[str, Any]:
    """Write all files; returns the manifest."""
    from segue.export.hg_gnn.model import encoder_graph, scorer_graph
    from segue.export.manifest import described, items_of, users_of
    from segue.export.storing import save

    encoder = encoder_graph(model, contents.history, len(contents.users))
    save(encoder, folder / "encoder.onnx", LARGEST_FILE)
    scorer = scorer_graph(model)
    save(scorer, folder / "scorer.onnx", LARGEST_FILE)
    write_text(folder / "items.json", _json(items_of(contents)))
    write_text(folder / "users.json", _json(users_of(contents)))
    hashes = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    manifest = described(contents, model, {"encoder": encoder, "scorer": scorer}, hashes)
    write_text(folder / "manifest.json", _json(manifest, indent=1))
    return manifest


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False) + "\n"
