"""Folders that a command writes: what must not be lost there, and what may be replaced."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segue.errors import ArtifactError, UserMistake
from segue.system.atomic import writing
from segue.system.replacing import beside, owner_of, publish, under_construction


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder that Segue writes and may replace, such as a model or a corpus.

    Attributes:
        mistake: the error that a user gets.
        recognise: called with an existing folder; raises `mistake` when it is no folder of this kind.
        owns: whether a file, by its path relative to the folder, belongs to a folder of this kind.
    """

    mistake: type[UserMistake]
    recognise: Callable[[Path], object]
    owns: Callable[[Path], bool]

    def refuse_existing(self, out: Path, *, overwrite: bool) -> None:
        """Raise the mistake when `out` exists and may not be replaced. An empty folder is not in the way.

        Raises OSError when the name is too long for the file system.
        """
        refuse_nameless(out, self.mistake)
        beside(out, "dropped").exists()  # a longer name than `out`: what is wrong with it is found now, not after hours
        if not out.exists() or is_empty_folder(out):
            return
        if not overwrite:
            raise self.mistake(f"{out} exists already; choose another --out, or pass --overwrite to replace it")
        self.recognise(out)
        self.refuse_foreign(out)

    def refuse_foreign(self, folder: Path) -> None:
        """Raise the mistake naming a file in `folder` that Segue did not write."""
        refuse_foreign(folder, self.owns, self.mistake)


def missing_parents(folder: Path) -> list[Path]:
    """The parent folders that making `folder` would make, the innermost first."""
    return [parent for parent in folder.absolute().parents if not parent.exists()]


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove the empty ones among some folders."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def is_empty_folder(path: Path) -> bool:
    """Whether a folder is there and holds nothing."""
    return path.is_dir() and not any(path.iterdir())


def own_folder(path: Path) -> Path:
    """The path of a folder inside one of Segue's, to be written into. Raises ArtifactError for a link, which would lead
    the writing elsewhere."""
    if path.is_symlink():
        raise ArtifactError(f"{path} is a link, nothing is written through it; remove it and repeat")
    return path


def refuse_nameless(out: Path, mistake: type[UserMistake]) -> None:
    """Raise `mistake` for ``.``, ``..`` and ``/``: a folder is written under a similar name and then renamed."""
    if out.name in ("", ".."):
        raise mistake(f"'{out}' is no name for a new folder; choose another --out")


def refuse_foreign(folder: Path, owns: Callable[[Path], bool], mistake: type[UserMistake]) -> None:
    """Raise `mistake` naming a file in `folder` that Segue did not write, before the folder is replaced.

    Args:
        owns: whether a path relative to `folder` is one of Segue's files there.
    """
    for path in sorted(folder.rglob("*")):
        within = path.relative_to(folder)
        left_over = any(owner_of(Path(part)) for part in within.parts)  # by a killed process
        if (path.is_symlink() or not path.is_dir()) and not (owns(within) or left_over):
            raise mistake(
                f"{path} is not Segue's, and all of {folder} would be replaced; move it away, or choose another --out"
            )


def clear(out: Path, owns: Callable[[Path], bool], *inputs: Any) -> None:
    """Replace a folder of many runs by an empty one for a new beginning, and lose nothing else.

    Raises UserMistake when a file of somebody else lies there, or a file or folder that is about to be read.
    """
    refuse_inputs_inside(out, *inputs)
    refuse_foreign(out, owns, UserMistake)
    place = Path(os.path.realpath(out))
    with writing(out), under_construction(place) as new:
        publish(new, place)


def refuse_inside_of(folder: Path, *inputs: Path) -> None:
    """Raise UserMistake when the folder that is written would lie in one that is only read."""
    for source in inputs:
        if folder.resolve().is_relative_to(source.resolve()):
            raise UserMistake(f"{folder} lies in {source}, which is only read; choose another --out")


def refuse_inputs_inside(folder: Path, *inputs: Any) -> None:
    """Raise UserMistake when a file or folder that is read lies in the folder that is replaced.

    Args:
        inputs: paths, ``FILE.duckdb::TABLE``, or objects without a path, which are skipped.
    """
    paths = [Path(str(source).partition("::")[0]) for source in inputs if isinstance(source, str | Path)]
    for path in paths if os.path.exists(folder) else []:
        # os.path: a name too long to exist is for the one who opens it to refuse
        if os.path.exists(path) and path.resolve().is_relative_to(folder.resolve()):
            raise UserMistake(
                f"{path} lies in {folder}, which would be replaced; move it away, or choose another --out"
            )
