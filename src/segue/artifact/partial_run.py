"""The unfinished run: it lives in MODEL.partial/, can be resumed there, and is renamed to MODEL/ when done."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segue.artifact.model_folder import MODEL_FOLDER, publish_model, refuse_existing
from segue.artifact.names import CHECKPOINT, OF_THE_RUN, RUN_NOTE, is_litter, is_model_file
from segue.artifact.seal import is_model, seal
from segue.errors import ArtifactError
from segue.system.atomic import UNFINISHED, write_text, writing
from segue.system.folders import is_empty_folder
from segue.system.holding import held, sweep
from segue.system.json_files import read_object
from segue.system.replacing import discard, followed, publish, settle, under_construction


@contextmanager
def unfinished(out: Path, started_with: Mapping[str, Any], *, resume: bool, overwrite: bool) -> Iterator[Path]:
    """The folder of a run; at the end of the block it is sealed and becomes `out`.

    A run that fails before its first checkpoint leaves nothing behind. One that is interrupted leaves what it has. No
    other process can work on `out` meanwhile.

    Args:
        started_with: settings and inputs, JSON-safe; a resumed run must be started with equal ones.

    Raises ArtifactError when `out` or an unfinished run is in the way, there is none to resume, or another process
    holds `out`.
    """
    with held(out, ArtifactError):
        out = followed(out)
        partial = _taken_up(out, started_with, resume=resume, overwrite=overwrite)
        try:
            yield partial
        except Exception:
            if not resume and not any(partial.glob(f"*{CHECKPOINT}")):
                discard(partial)
            raise
        refuse_existing(out, overwrite=overwrite)  # again: it has been hours
        seal(partial)
        publish_model(partial, out)
        finish_publishing(out)


def partial_of(out: Path) -> Path:
    """The folder of the unfinished run of `out`."""
    out = followed(out)
    return out.with_name(out.name + ".partial")


def is_unfinished(out: Path) -> bool:
    """Whether a run of `out` has begun and not ended."""
    return _is_run(partial_of(out))


def finish_publishing(out: Path) -> None:
    """Remove what a run needs no more once its model stands at `out`, also where it was killed at this very step.

    Only then does its note go: had sealing or renaming failed, the run could still be resumed.
    """
    if not (_is_run(out) and is_model(out)):
        return
    partial = partial_of(out)
    with writing(out):
        # The models have been exchanged: what stands at the place of the run is the one that was replaced.
        if not _is_run(partial) and is_model(partial):
            discard(partial)
        for name in OF_THE_RUN:
            (out / name).unlink(missing_ok=True)


def _taken_up(out: Path, started_with: Mapping[str, Any], *, resume: bool, overwrite: bool) -> Path:
    """The folder of the run, begun or found; raises ArtifactError when something is in the way."""
    partial = partial_of(out)
    with writing(partial):
        settle(partial)
    finish_publishing(out)
    if resume and not os.path.lexists(partial) and is_model(out):
        raise ArtifactError(f"nothing to resume: there is no unfinished run of {out}, a finished model is there")
    refuse_existing(out, overwrite=overwrite)
    if partial.is_symlink():
        raise ArtifactError(f"{partial}, where the run would live, is a symbolic link; remove it")
    if resume:
        _check_note(partial, started_with)
        _sweep(partial)
        _refuse_links(partial)
    else:
        _refuse_unfinished(partial, overwrite=overwrite)
        _begin(partial, started_with)
    return partial


def _refuse_unfinished(partial: Path, *, overwrite: bool) -> None:
    """Raise ArtifactError unless `partial` may be dropped: it is empty, or one of our runs and nothing else."""
    with writing(partial):
        if not partial.exists() or is_empty_folder(partial) or _is_unbegun(partial):
            return
    if not _is_run(partial):
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


def _is_run(folder: Path) -> bool:
    """Whether a folder holds the note of a run."""
    note = _read_note(folder)
    return note is not None and "settings" in note


def _read_note(partial: Path) -> dict[str, Any] | None:
    """Read how the run was started; None where there is no run."""
    try:
        return read_object(partial / RUN_NOTE)
    except (OSError, ValueError):
        return None


def _is_unbegun(partial: Path) -> bool:
    """Whether a run was killed before its note was there; nothing is lost with it."""
    return partial.is_dir() and [path.name for path in partial.iterdir()] == [RUN_NOTE + UNFINISHED]


def _refuse_links(partial: Path) -> None:
    """Raise ArtifactError for anything but files and folders in a run that goes on: it would be written through."""
    for path in sorted(partial.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ArtifactError(
                f"{path} is a link, a pipe or a device, nothing is written through it; remove it, or drop the run with"
                " --overwrite"
            )


def _begin(partial: Path, started_with: Mapping[str, Any]) -> None:
    """Make the folder of a new run, which has its note from the first moment on."""
    with writing(partial), under_construction(partial) as new:
        write_text(new / RUN_NOTE, json.dumps(started_with, indent=1) + "\n")
        publish(new, partial)


def _sweep(partial: Path) -> None:
    """Remove what a killed process left half-written in its run."""
    with writing(partial):
        sweep(partial, is_model_file)
        for path in filter(lambda path: is_litter(path.relative_to(partial)), partial.iterdir()):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
