"""The files of a model folder: which are made anew without a person, and which are left out. Others are refused."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from segue.artifact.names import ANSWERS, CORPUS_FILES, EPOCH_FILES, MANIFEST, MODEL_FILES, OF_THE_RUN
from segue.data.corpus import Part
from segue.errors import ArtifactError
from segue.pipeline.measurement import EVALUATION
from segue.system.atomic import UNFINISHED

REPORT = "report.html"
_MADE_ANEW = (
    *(*MODEL_FILES, ANSWERS, *CORPUS_FILES, MANIFEST),
    *(f"{EVALUATION}/{part.name.lower()}{suffix}" for part in Part for suffix in (".json", ".ranks.parquet")),
)
_LEFT_OUT = (*EPOCH_FILES, REPORT, *OF_THE_RUN, "tensorboard/*")
"""Records of a training in which the people took part, as shell patterns."""


def left_out(folder: Path) -> list[str]:
    """The files of a model that the new one does not have, by their names.

    Raises ArtifactError for a file or link that Segue does not know: the person could be in it.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            continue
        if any(fnmatchcase(name, pattern) for pattern in _LEFT_OUT):
            found.append(name)
        elif name not in _MADE_ANEW or name.endswith(UNFINISHED):
            raise ArtifactError(
                f"{path} is no file of a model that Segue knows: whether the person is in it cannot be told, and it is"
                " not copied; move it away and repeat"
            )
    return found


def measured_parts(folder: Path) -> list[Part]:
    """The parts on which the model was measured."""
    return [part for part in Part if (folder / EVALUATION / f"{part.name.lower()}.json").exists()]
