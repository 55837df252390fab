"""The names of the files in a model folder, and which of them are Segue's."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from segue.data.corpus import Part
from segue.data.corpus_folder import FILES
from segue.system.atomic import UNFINISHED

FORMAT = "segue-model-1"
MANIFEST = "manifest.json"
RUN_NOTE = "run.json"
"""The file that says with what an unfinished run was started."""
CHECKPOINT = ".checkpoint"
CORPUS = "corpus"
"""The folder of the prepared data inside a model folder. Serving does not open it."""
STAGES = ("metrics", "refit", "final")
"""The fits of a run; each names a file of epochs and a checkpoint."""
CANDIDATES = ("memory", "segue")
"""The fits between which ``segue fit`` chooses, in place of "metrics"; their files go with the run."""
CHOICES = "choices.json"
"""The file of an unfinished run that says what was chosen; the model has it in its ``config.json``."""
MODEL_FILES = ("config.json", "model.safetensors", "history.safetensors", "items.parquet", "users.parquet")
"""Files that every model has."""
ANSWERS = "answers.safetensors"
"""File of a model that answers without torch: what is constant in every answer, and the model's complete options."""
ANSWERS_FORMAT = "segue-answers-1"
"""Format of that file; a file of another format is not read, and torch forms its contents anew."""
CORPUS_FILES = tuple(f"{CORPUS}/{file}" for file in FILES)
"""Files of a model that holds its corpus."""
EPOCH_FILES = tuple(f"{stage}.jsonl" for stage in STAGES)
"""Files of epochs, one for each fit that was trained in epochs."""
OF_THE_RUN = (
    *(f"{stage}{CHECKPOINT}" for stage in (*CANDIDATES, *STAGES)),
    *(f"{stage}.jsonl" for stage in CANDIDATES),
    *(CHOICES, RUN_NOTE),
)
"""Files that a run has no more once its model is finished; its note is the last that goes."""
_LITTER = (".tmp??????", f".{CORPUS}.*.partial", "scratch")
"""What a killed process leaves in an unfinished run: half-written tensors, spilled tables, and a corpus of an earlier
version, half written."""
_OURS = (
    *MODEL_FILES,
    ANSWERS,
    *CORPUS_FILES,
    *EPOCH_FILES,
    *(f"{name}{within}" for name in _LITTER for within in ("", "/*")),
    *OF_THE_RUN,
    *(MANIFEST, "report.html"),
    *(f"tensorboard/{stage}/events.out.tfevents.*" for stage in (*CANDIDATES, *STAGES)),
    *(f"evaluation/{part.name.lower()}{suffix}" for part in Part for suffix in (".json", ".ranks.parquet")),
)
"""Every file of a model or an unfinished run, relative to its folder; as shell patterns, * also crosses folders."""


def is_model_file(path: Path) -> bool:
    """Whether a path, relative to a model folder, names a file that Segue writes there."""
    return any(fnmatchcase(path.as_posix().removesuffix(UNFINISHED), pattern) for pattern in _OURS)


def is_litter(path: Path) -> bool:
    """Whether a path, relative to an unfinished run, is what only a killed process leaves there."""
    return any(fnmatchcase(path.as_posix(), pattern) for pattern in _LITTER)
