"""The unfinished run: it lives in MODEL.partial/, can be resumed there, and is renamed to MODEL/ when done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from segue.artifact import CHECKPOINT, RUN_NOTE, publish, refuse_existing, seal, write_text, writing
from segue.errors import ArtifactError, UserMistake


@contextmanager
def unfinished(out: Path, started_with: Mapping[str, Any], *, resume: bool, overwrite: bool) -> Iterator[Path]:
    """The folder of a run; at the end of the block it is sealed and becomes `out`.

    A run stopped by a user's mistake before its first checkpoint leaves nothing behind.

    Args:
        started_with: JSON-safe; a resumed run has to be started with the same.

    Raises ArtifactError when `out` or an unfinished run is in the way, or there is none to resume.
    """
    refuse_existing(out, overwrite=overwrite)
    partial = out.with_name(out.name + ".partial")
    made = [folder for folder in (partial, *partial.absolute().parents) if not folder.exists()]
    if resume:
        _check_note(partial, started_with)
    elif partial.exists() and not overwrite:
        raise ArtifactError(f"an unfinished run is at {partial}; continue it with --resume or drop it with --overwrite")
    try:
        if not resume:
            _begin(partial, started_with)
        yield partial
    except UserMistake:
        if not resume and not any(partial.glob(f"*{CHECKPOINT}")):
            _forget(partial, made)
        raise
    seal(partial)
    publish(partial, out)
    # Only now: had sealing or renaming failed, the run could still be resumed.
    for leftover in [*out.glob(f"*{CHECKPOINT}"), out / RUN_NOTE]:
        leftover.unlink(missing_ok=True)


def _check_note(partial: Path, started_with: Mapping[str, Any]) -> None:
    try:
        note = json.loads((partial / RUN_NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ArtifactError(f"nothing to resume: there is no unfinished run at {partial}") from None
    if note != started_with:
        differ = sorted(key for key in {*note, *started_with} if note.get(key) != started_with.get(key))
        raise ArtifactError(
            f"the unfinished run at {partial} was started differently ({', '.join(differ)});"
            " repeat its command with --resume, or drop it with --overwrite"
        )


def _begin(partial: Path, started_with: Mapping[str, Any]) -> None:
    with writing(partial):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write_text(partial / RUN_NOTE, json.dumps(started_with, indent=1) + "\n")


def _forget(partial: Path, made: list[Path]) -> None:
    shutil.rmtree(partial, ignore_errors=True)
    for folder in made:
        with suppress(OSError):
            folder.rmdir()
