"""The checkpoint of a training: tensors and state in one file, from which a resumed run goes on bit for bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from segue.errors import ArtifactError
from segue.system.atomic import aside, writing
from segue.system.json_files import check_regular, parse_object


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write the checkpoint as one file, replaced at once: an interrupted write leaves the checkpoint before it."""
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(state)
    with writing(path.parent), aside(path) as new:
        save_file(stored, new, {"state": text, "sha256": _hash(stored, text)})


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and the state of :func:`save_checkpoint`. Raises ArtifactError when the file is damaged.

    A checkpoint of a Segue that wrote no checksum is read without one.
    """
    try:
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            written = file.metadata() or {}
        tensors = load_file(path)
        if "state" not in written:
            raise ValueError("it holds no state of a training")
        if written.get("sha256", "") not in ("", _hash(tensors, written["state"])):
            raise ValueError("it has changed since it was written")
        return tensors, parse_object(written["state"])
    except (OSError, SafetensorError, ValueError) as error:
        raise unusable(path, error) from None


def unusable(path: Path, why: object) -> ArtifactError:
    """The error for a checkpoint that no training can go on from."""
    return ArtifactError(
        f"the checkpoint {path} cannot be read ({why}); start again: repeat the command with --overwrite, without"
        " --resume"
    )


def _hash(tensors: Mapping[str, Tensor], state: str) -> str:
    """sha256 over the state and over name, type, shape and bytes of every tensor."""
    digest = hashlib.sha256(state.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
