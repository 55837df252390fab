"""What a model folder holds beside the model itself: facts, vocabularies, the users' history. Read without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segue.artifact.arrays import Form, StoredArrays
from segue.artifact.names import FORMAT
from segue.data.checks import check_sessions, check_vocabulary, read_table
from segue.data.corpus import Sessions
from segue.errors import ArtifactError, first_line
from segue.system.json_files import read_object

if TYPE_CHECKING:
    from segue.settings import Settings


@dataclass(frozen=True)
class Contents:
    """Everything of a model folder but the model."""

    folder: Path
    items: pa.Table
    users: pa.Table
    history: Sessions
    """The users' train sessions; ``number`` counts them from 0."""
    facts: dict[str, Any]
    """The contents of ``config.json``."""

    @property
    def settings(self) -> Settings:
        """The settings that the model was made with."""
        from segue.settings import Settings  # slow to import, and no answer needs it

        return Settings.parse(self.facts["settings"])


class _Facts(BaseModel):
    """The keys of ``config.json`` that are read; there may be more."""

    model_config = ConfigDict(strict=True)

    settings: dict[str, Any]
    n_items: int = Field(ge=1)
    n_users: int = Field(ge=0)
    corpus: str = Field(pattern=r"^[^\x00]*$", max_length=4096)
    corpus_fingerprint: str
    trained_on: list[Literal["train", "validation", "test"]] = Field(min_length=1)
    statistics: dict[str, Any]


def facts_in(folder: Path) -> dict[str, Any]:
    """The contents of ``config.json``. Raises OSError or ValueError when they cannot be used."""
    facts = read_object(folder / "config.json")
    if facts.get("format") != FORMAT:
        raise ValueError(f"config.json has format {facts.get('format')!r:.100}, this Segue reads {FORMAT!r}")
    try:
        _Facts.model_validate(facts)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ValueError(f"config.json: {key}: {first['msg'].lower()}, found {first['input']!r:.60}") from None
    return facts


def contents_of(folder: Path, facts: dict[str, Any]) -> Contents:
    """The tables and the history of a folder. Raises OSError or ValueError when they cannot be used."""
    items, users = (read_table(folder / f"{name}.parquet") for name in ("items", "users"))
    check_vocabulary(items, "item")
    known = check_vocabulary(users, "user")
    if (facts["n_items"], facts["n_users"]) != (len(items), known):
        raise ValueError(
            f"config.json speaks of {facts['n_items']} items and {facts['n_users']} users, the tables of"
            f" {len(items):,} and {known:,}"
        )
    return Contents(folder, items, users, _read_history(folder, len(items), len(users)), facts)


def unreadable(folder: Path, error: BaseException) -> ArtifactError:
    """The error of a model that cannot be read."""
    return ArtifactError(f"the model {folder} cannot be read ({first_line(error)}); train it again")


def _read_history(folder: Path, n_items: int, n_users: int) -> Sessions:
    """The users' train sessions, checked against the numbers of items and of users, unknown ones included."""
    kinds = {"items": "int32", "times": "int64", "offsets": "int64", "user": "int32"}
    file = StoredArrays(folder / "history.safetensors")
    file.refuse_others(kinds)
    history = file.read_all({name: Form(kind, (None,)) for name, kind in kinds.items()})
    check_sessions(**history, n_items=n_items, n_users=n_users)
    return Sessions(**history, number=np.arange(len(history["user"])))
