"""The records of a training: one line per epoch, and the facts of the trained model."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from segue import models
from segue.errors import ArtifactError
from segue.settings import Settings
from segue.system.atomic import write_text

_KEYS = {"epoch", "events", "seconds", "loss", "learning_rate", "validation", "best"}


def write_epochs(folder: Path, epochs: Iterable[dict[str, Any]], name: str = "metrics") -> None:
    """Replace ``metrics.jsonl`` (or ``refit.jsonl``), one line per record."""
    write_text(folder / f"{name}.jsonl", "".join(json.dumps(epoch) + "\n" for epoch in epochs))


def read_epochs(folder: Path, name: str = "metrics") -> list[dict[str, Any]]:
    """Read the records of :func:`write_epochs`; an empty list where nothing was trained."""
    path = folder / f"{name}.jsonl"
    if not path.exists():
        return []
    try:
        epochs = [dict(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(f"cannot read {path} ({error}); train the model again") from None
    if any(not epoch.keys() >= _KEYS for epoch in epochs):
        raise ArtifactError(f"cannot read {path} (an epoch lacks one of {', '.join(sorted(_KEYS))}); train again")
    return epochs


def training_facts(folder: Path) -> dict[str, Any]:
    """Facts about a trained model and its training, for people and scripts."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    epochs = read_epochs(folder)
    best = [epoch for epoch in epochs if epoch["best"]]
    return {
        "model": str(folder),
        "label": models.label(Settings.parse(config["settings"])),
        "trained_on": config["trained_on"],
        "epochs": len(epochs),
        "best_epoch": best[-1]["epoch"] if best else len(epochs),
        "seconds": round(sum(epoch["seconds"] for epoch in epochs), 1),
        "validation": best[-1]["validation"] if best else {},
        "statistics": config["statistics"],
    }
