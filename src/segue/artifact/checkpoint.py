"""The checkpoint of a training: tensors and state in one file, from which a resumed run goes on bit for bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from segue.errors import ArtifactError
from segue.system.atomic import aside, writing


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write the checkpoint as one file, replaced at once: an interrupted write leaves the checkpoint before it."""
    with writing(path.parent), aside(path) as new:
        save_file({k: t.detach().cpu().contiguous() for k, t in tensors.items()}, new, {"state": json.dumps(state)})


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and the state of :func:`save_checkpoint`. Raises ArtifactError when the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["state"])
        return load_file(path), state
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ArtifactError(f"the checkpoint {path} cannot be read ({error}); start again with --overwrite") from None
