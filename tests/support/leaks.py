"""Corpora and models with a leak put in on purpose, as their honest counterparts with one thing changed.

Checksums are made honest again: an audit that found only a broken checksum would have found nothing.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import forgeries
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import runs
import small_logs
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from segue import models
from segue.artifact.model_folder import load_model, write_model
from segue.artifact.seal import seal
from segue.contract.model import SessionModel
from segue.data.corpus import Corpus, Part, load
from segue.data.corpus_folder import PART_SCHEMA
from segue.pipeline.settings import settings_for_corpus
from segue.settings import Nested

ITEMS, USERS, SESSIONS, DAY = 80, 10, 12, 86_400
Row = dict[str, Any]


@cache
def _home() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="segue-leaks-")


@cache
def log() -> Path:
    """A log without a pattern: enough items to tell an order from chance, users who are there in turn."""
    draw = random.Random(7)
    rows = []
    for session in range(SESSIONS):
        for user in range(USERS):
            start = 1_700_000_000 + session * DAY + user * 600
            items = draw.choices(range(ITEMS), k=draw.randint(5, 9))
            rows += [(f"u{user}", f"i{item:02d}", start + 20 * place) for place, item in enumerate(items)]
    return small_logs.write_csv(Path(_home().name) / "log.csv", rows)


def corpus(protocol: str = "user_80_20", scope: str = "all") -> Path:
    """The log prepared. Not to be changed by a test."""
    return _corpus(protocol, scope)


@cache
def _corpus(protocol: str, scope: str) -> Path:
    folder = Path(_home().name) / f"{protocol}-{scope}"
    runs.prepare(str(log()), folder, settings(protocol, scope))
    return folder


def settings(protocol: str, scope: str = "all") -> Nested:
    """Settings of the preparation."""
    filters = {"min_item_support": 1, "min_user_sessions": 1, "scope": scope}
    return {"split": {"protocol": protocol}, "filters": filters, "preparation": {"memory_limit": "256MiB"}}


def copy(source: Path, target: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(source, target)
    return target


def change_rows(folder: Path, part: Part, change: Callable[[list[Row]], list[Row]]) -> None:
    """Change the sessions of one part; the manifest's sizes and checksums follow."""
    path = folder / part.file
    rows = sorted(change(pq.read_table(path).to_pylist()), key=lambda row: row["session"])
    pq.write_table(pa.Table.from_pylist(rows, PART_SCHEMA), path)
    change_manifest(folder, lambda manifest: manifest["sizes"].update({f"{part.name.lower()}_sessions": len(rows)}))


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the manifest of a corpus, and make every checksum honest."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    forgeries.rehash(folder)


def spread(folder: Path) -> None:
    """Double all numbers of sessions, so that there is room between any two."""
    for part in Part:
        change_rows(folder, part, lambda rows: [{**row, "session": 2 * row["session"]} for row in rows])


def rows_of(folder: Path, part: Part) -> list[Row]:
    """The sessions of one part."""
    found: list[Row] = pq.read_table(folder / part.file).to_pylist()
    return found


def with_column(folder: Path, kind: str, name: str, values: Sequence[str]) -> None:
    """Add an attribute to the items or users of a corpus."""
    path = folder / f"{kind}s.parquet"
    table = pq.read_table(path)
    pq.write_table(table.append_column(name, pa.array(values, pa.string())), path)
    change_manifest(folder, lambda _: None)


def fitted(on: Corpus, overrides: Nested, folder: Path) -> SessionModel:
    """A model of these settings, fitted on the train part of a corpus in memory as training would begin with it."""
    settings = settings_for_corpus(folder, overrides)
    torch.manual_seed(settings.training.seed)
    model = models.build(settings)
    model.fit(on)
    return model


def stored(
    out: Path, corpus_folder: Path, overrides: Nested, model: SessionModel, *, history: Corpus | None = None
) -> Path:
    """A sealed model that says it was trained on train.

    Args:
        history: where its history is taken from; unset: train.
    """
    out.mkdir()
    whole = load(corpus_folder)
    facts = {"corpus": str(corpus_folder), "trained_on": ["train"]}
    write_model(out, model, history or whole, settings_for_corpus(corpus_folder, overrides), facts)
    seal(out)
    return out


def one_session_more(whole: Corpus) -> Corpus:
    """The corpus with the last session of test in its train part."""
    part = whole.part.copy()
    part[np.flatnonzero(part == Part.TEST)[-1]] = Part.TRAIN
    return Corpus(whole.items, whole.users, whole.sessions, part, whole.n_users, whole.manifest)


def change_arrays(folder: Path, file: str, changed: dict[str, Tensor]) -> None:
    """Replace some arrays of a model, metadata kept, and make its checksums honest."""
    path = folder / file
    metadata = _metadata(path)
    save_file({**load_file(path), **changed}, path, metadata=metadata)
    forgeries.rehash(folder)


def _metadata(path: Path) -> dict[str, str]:
    stored = path.read_bytes()
    header = json.loads(stored[8 : 8 + int.from_bytes(stored[:8], "little")])
    found: dict[str, str] = header.get("__metadata__", {})
    return found


def arrays_of(folder: Path) -> dict[str, Tensor]:
    """The arrays of a model."""
    return load_model(folder).model.arrays()
