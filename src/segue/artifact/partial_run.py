"""The unfinished run: it lives in MODEL.partial/, can be resumed there, and is renamed to MODEL/ when done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segue.artifact.model_folder import MODEL_FOLDER, publish_model, refuse_existing
from segue.artifact.names import CHECKPOINT, RUN_NOTE
from segue.artifact.seal import seal
from segue.errors import ArtifactError
from segue.system.atomic import write_text, writing
from segue.system.folders import is_empty_folder, missing_parents, remove_empty
from segue.system.json_files import read_object


@contextmanager
def unfinished(out: Path, started_with: Mapping[str, Any], *, resume: bool, overwrite: bool) -> Iterator[Path]:
    """The folder of a run; at the end of the block it is sealed and becomes `out`.

    A run that fails before its first checkpoint leaves nothing behind. One that is interrupted leaves what it has.

    Args:
        started_with: settings and inputs, JSON-safe; a resumed run must be started with equal ones.

    Raises ArtifactError when `out` or an unfinished run is in the way, or there is none to resume.
    """
    refuse_existing(out, overwrite=overwrite)
    partial = partial_of(out)
    with writing(out):
        begun, parents = partial.exists(), missing_parents(partial)
    if resume:
        _check_note(partial, started_with)
        _refuse_links(partial)
    elif begun:
        _refuse_unfinished(partial, overwrite=overwrite)
    try:
        if not resume:
            _begin(partial, started_with)
        yield partial
    except Exception:
        if not resume and not any(partial.glob(f"*{CHECKPOINT}")):
            shutil.rmtree(partial, ignore_errors=True)
            remove_empty(parents)
        raise
    refuse_existing(out, overwrite=overwrite)  # again: it has been hours
    seal(partial)
    publish_model(partial, out)
    # Only now: had sealing or renaming failed, the run could still be resumed.
    for leftover in [*out.glob(f"*{CHECKPOINT}"), out / RUN_NOTE]:
        leftover.unlink(missing_ok=True)


def partial_of(out: Path) -> Path:
    """The folder of the unfinished run of `out`."""
    return out.with_name(out.name + ".partial")


def _refuse_unfinished(partial: Path, *, overwrite: bool) -> None:
    """Raise ArtifactError unless `partial` may be dropped: it is empty, or one of our runs and nothing else."""
    with writing(partial):
        if is_empty_folder(partial):
            return
    note = _read_note(partial)
    if note is None or "settings" not in note:
        raise ArtifactError(
            f"{partial}, where the run would live, is not Segue's; move it away or choose another --out"
        )
    if not overwrite:
        raise ArtifactError(f"an unfinished run is at {partial}; continue it with --resume or drop it with --overwrite")
    MODEL_FOLDER.refuse_foreign(partial)


def _check_note(partial: Path, started_with: Mapping[str, Any]) -> None:
    note = _read_note(partial)
    if note is None:
        raise ArtifactError(f"nothing to resume: there is no unfinished run at {partial}")
    if note != started_with:
        differ = sorted(key for key in {*note, *started_with} if note.get(key) != started_with.get(key))
        raise ArtifactError(
            f"the unfinished run at {partial} was started differently ({', '.join(differ)});"
            " repeat its command with --resume, or drop it with --overwrite"
        )


def _read_note(partial: Path) -> dict[str, Any] | None:
    """Read how the run was started; None where there is no run."""
    try:
        return read_object(partial / RUN_NOTE)
    except (OSError, ValueError):
        return None


def _refuse_links(partial: Path) -> None:
    """Raise ArtifactError for anything but files and folders in a run that goes on: it would be written through."""
    for path in sorted(partial.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ArtifactError(
                f"{path} is a link, a pipe or a device, nothing is written through it; remove it, or drop the run with"
                " --overwrite"
            )


def _begin(partial: Path, started_with: Mapping[str, Any]) -> None:
    with writing(partial):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write_text(partial / RUN_NOTE, json.dumps(started_with, indent=1) + "\n")
