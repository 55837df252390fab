"""The note of a comparison, ``comparison.json``: how it was started. Models and seeds may join; the rest is fixed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segue import models
from segue.data.corpus_folder import read_manifest
from segue.errors import ArtifactError, ConfigError
from segue.settings import Nested
from segue.system.atomic import UNFINISHED, write_text, writing
from segue.system.folders import clear
from segue.system.holding import sweep
from segue.system.json_files import read_object, typed

NOTE = "comparison.json"
_TABLES = ("results.json", "results.md", "report.html")


@dataclass(frozen=True)
class Note:
    """The plan that all models share, the models by label, and the seeds of their fits."""

    plan: Mapping[str, Any]
    models: Mapping[str, Nested]
    seeds: Sequence[int]


def read_note(out: Path) -> Note | None:
    """The note of the comparison at `out`; None where none was started. Raises ArtifactError for a damaged one."""
    try:
        note = typed(Note, read_object(out / NOTE))
        for own in note.models.values():
            models.load(own["model"]["name"])
        return note
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise ArtifactError(f"{out} is a file; choose another --out") from None
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise ArtifactError(f"the comparison at {out} is damaged: {NOTE} ({error}); drop its folder") from None


def join(
    out: Path,
    corpus: Path,
    chosen: Mapping[str, Nested],
    seeds: Sequence[int],
    plan: Mapping[str, Any],
    *,
    overwrite: bool,
) -> tuple[int, ...]:
    """Begin the comparison at `out` or join it. Returns its seeds, in the order in which they joined.

    Raises ArtifactError when it was started with another corpus or plan, UserMistake when overwriting would lose files
    of others.
    """
    if out.resolve() == corpus.resolve():
        raise ArtifactError(f"{out} is the corpus itself; choose another --out")
    wanted = {"corpus": read_manifest(corpus)["fingerprint"], **plan}
    note = read_note(out)
    ours = {*_TABLES, NOTE, *map(folder_name, note.models)} if note is not None else set()

    def owns(path: Path) -> bool:
        return path.parts[0].removesuffix(UNFINISHED) in ours

    if overwrite and note is not None:
        clear(out, owns, corpus)
        note = None
    elif note is not None and note.plan != wanted:
        differ = ", ".join(key for key in wanted if note.plan.get(key) != wanted[key])
        raise ArtifactError(
            f"the comparison at {out} was started differently ({differ});"
            " repeat its command, or drop it with --overwrite"
        )
    if note is not None:
        sweep(out, owns)
    before = note or Note(wanted, {}, ())
    joined = Note(wanted, {**before.models, **chosen}, tuple(dict.fromkeys([*before.seeds, *seeds])))
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / NOTE, json.dumps(asdict(joined), indent=1) + "\n")
    return tuple(joined.seeds)


def folder_name(label: str) -> str:
    """The label of a model as the name of a folder, lower case, with dashes for all but letters and digits."""
    return "".join(letter if letter.isalnum() else "-" for letter in label).lower()
