"""The folder that a command writes, and what must not be lost there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segue.errors import UserMistake


def refuse_nameless(out: Path, mistake: type[UserMistake]) -> None:
    """Raise `mistake` for ``.``, ``..`` and ``/``: a folder is written beside its place and renamed, by its name."""
    if out.name in ("", ".."):
        raise mistake(f"'{out}' is no name for a new folder; choose another --out")


def refuse_foreign(folder: Path, is_ours: Callable[[Path], bool], mistake: type[UserMistake]) -> None:
    """Raise `mistake` naming a file in `folder` that Segue did not write, before the folder is replaced.

    Args:
        is_ours: of a path relative to `folder`.
    """
    for path in sorted(folder.rglob("*")):
        if (path.is_symlink() or not path.is_dir()) and not is_ours(path.relative_to(folder)):
            raise mistake(
                f"{path} is not Segue's, and all of {folder} would be replaced; move it away, or choose another --out"
            )


def clear(out: Path, is_ours: Callable[[Path], bool], *inputs: Any) -> None:
    """Empty a folder of many runs for a new beginning, and lose nothing that is not of such runs.

    Raises UserMistake when something else lies there, or what is about to be read.
    """
    refuse_inputs_inside(out, *inputs)
    refuse_foreign(out, is_ours, UserMistake)
    shutil.rmtree(out)


def refuse_inputs_inside(folder: Path, *inputs: Any) -> None:
    """Raise UserMistake when a file or folder that is read lies in the folder that is replaced.

    Args:
        inputs: paths, ``FILE.duckdb::TABLE``, or anything else, which lies nowhere.
    """
    paths = [Path(str(given).partition("::")[0]) for given in inputs if isinstance(given, str | Path)]
    for path in paths if os.path.exists(folder) else []:
        # os.path: a name too long to exist is for the one who opens it to refuse
        if os.path.exists(path) and path.resolve().is_relative_to(folder.resolve()):
            raise UserMistake(
                f"{path} lies in {folder}, which would be replaced; move it away, or choose another --out"
            )
