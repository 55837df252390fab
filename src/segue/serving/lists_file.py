"""The file of lists that a batch writes: what it holds, and where it may stand."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segue.errors import RequestError
from segue.system.atomic import writing

SCHEMA = pa.schema(
    [
        ("request", pa.int64()),
        ("user", pa.string()),
        ("place", pa.int32()),
        ("item", pa.string()),
        ("score", pa.float64()),
    ]
)


def table(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Some rows of the file."""
    columns = zip(*rows, strict=True) if rows else [()] * len(SCHEMA)
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, SCHEMA.types, strict=True)], SCHEMA)


def refuse_place(out: Path, requests: Path, model: Path, *, overwrite: bool) -> None:
    """Raise RequestError where lists may not be written: they replace lists from before, and nothing else.

    Raises ArtifactError when there is no folder to write them to.
    """
    place = Path(os.path.realpath(out))
    if out.suffix.lower() != ".parquet":
        raise RequestError(f"{out} is no name for the lists, which are written as Parquet; end --out in .parquet")
    if place.is_relative_to(os.path.realpath(model)):
        raise RequestError(f"{out} lies in the model {model}, whose files belong together; choose another --out")
    with writing(out):
        place.parent.stat()
        if not place.exists():
            return
    if not stat.S_ISREG(place.stat().st_mode):
        raise RequestError(f"{out} is no regular file, and nothing is written to it; choose another --out")
    if requests.exists() and place.samefile(requests):
        raise RequestError(f"{out} is the file of the requests; choose another --out")
    if not _holds_lists(place):
        raise RequestError(f"{out} exists and holds no lists of --batch; choose another --out")
    if not overwrite:
        raise RequestError(f"{out} exists; choose another --out, or --overwrite")


def _holds_lists(path: Path) -> bool:
    try:
        return bool(pq.read_schema(path).equals(SCHEMA))
    except (pa.ArrowException, OSError):
        return False
