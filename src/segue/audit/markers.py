"""Markers: everything after the cut is replaced by sessions that nobody had; no stored byte may change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from segue.artifact.model_folder import Artifact, write_model
from segue.audit.finding import Finding
from segue.audit.rebuild import refit, scratch
from segue.contract.model import SessionModel
from segue.data.arrays import offsets_of
from segue.data.corpus import Corpus, Part, Sessions
from segue.system.checksums import sha256_of

NAME = "markers after the cut"


def marked(corpus: Corpus, parts: Sequence[Part]) -> Corpus:
    """The corpus with markers in the given parts: each of their sessions holds, one event longer and a millisecond
    later, the item that train holds least often, and nothing else."""
    sessions = corpus.sessions
    chosen = np.isin(corpus.part, [int(part) for part in parts])
    lengths = sessions.lengths + chosen
    offsets = offsets_of(lengths)
    owner = np.repeat(np.arange(len(sessions)), lengths)
    place = np.arange(len(owner)) - offsets[owner]
    cells = sessions.offsets[owner] + np.minimum(place, sessions.lengths[owner] - 1)
    rarest = np.int32(np.argmin(corpus.item_support))
    items = np.where(chosen[owner], rarest, sessions.items[cells])
    times = sessions.times[cells] + chosen[owner]
    planted = Sessions(items.astype(np.int32), times, offsets, sessions.user, sessions.number)
    return replace(corpus, sessions=planted)


def markers(artifact: Artifact, clean: SessionModel, corpus: Corpus, trained_on: Sequence[Part]) -> Finding:
    """Fit once more beside markers, write both models, and compare their files byte by byte.

    Args:
        clean: the result of :func:`segue.audit.rebuild.refit` without markers. corpus: with all parts, as split.
    """
    later = [part for part in Part if part not in trained_on]
    checked = "that a second fit, with every later session replaced by a marker, writes the same files byte by byte"
    if not later:
        return Finding(NAME, checked, "cannot", "the model was trained on every part: nothing lies after its cut")
    planted = marked(corpus, later)
    beside = refit(planted.with_train(trained_on), artifact.settings)
    first = _files(artifact, clean, corpus.with_train(trained_on))
    second = _files(artifact, beside, planted.with_train(trained_on))
    changed = sorted(name for name in first if first[name] != second.get(name))
    sessions = int(np.isin(corpus.part, [int(part) for part in later]).sum())
    where = " and ".join(part.name.lower() for part in later)
    return Finding(
        NAME,
        checked,
        "leak" if changed else "clean",
        f"{sessions:,} marked sessions of {where} changed {', '.join(changed)}"
        if changed
        else f"{sessions:,} marked sessions of {where}: {len(first)} files, no byte changed",
        {"sessions": sessions, "files": len(first), "changed": changed},
    )


def _files(artifact: Artifact, model: SessionModel, corpus: Corpus) -> dict[str, str]:
    """sha256 of every file that the model would be stored as."""
    facts = {key: artifact.facts[key] for key in ("corpus", "trained_on")}
    with scratch() as folder:
        folder.mkdir()
        write_model(folder, model, corpus, artifact.settings, facts)
        return {path.name: _digest(path) for path in sorted(folder.iterdir())}


def _digest(path: Path) -> str:
    """sha256 of a file; of one in safetensors with the keys of its header in order, which the format leaves open."""
    if path.suffix != ".safetensors":
        return sha256_of(path)
    stored = path.read_bytes()
    first = 8 + int.from_bytes(stored[:8], "little")
    header = json.dumps(json.loads(stored[8:first]), sort_keys=True).encode()
    return hashlib.sha256(header + stored[first:]).hexdigest()
