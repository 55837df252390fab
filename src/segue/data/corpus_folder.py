"""The files of a corpus folder: names, checksums, and tables, checked; ``corpus.py`` says what is in them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from segue.data.checks import check_columns, check_vocabulary, read_table
from segue.errors import ConfigError, CorpusError, first_line
from segue.settings import Settings
from segue.system.checksums import listed, sha256_of
from segue.system.json_files import read_object

FORMAT = "segue-corpus-1"
MANIFEST = "manifest.json"
GRAPH = "graph"
"""The folder in a corpus with the tables of its graph, where they were prepared, and the manifest's key about them."""
CHECKSUMS = "sha256"
"""Key of the manifest with the checksum of every file of the corpus. Corpora from before it have none."""
FILES = (MANIFEST, "items.parquet", "users.parquet", "train.parquet", "validation.parquet", "test.parquet")
"""Names of all files of a corpus folder."""
PART_SCHEMA = pa.schema(
    [
        ("session", pa.int64()),
        ("user", pa.int32()),
        ("session_id", pa.string()),
        ("items", pa.list_(pa.int32())),
        ("times", pa.list_(pa.int64())),
    ]
)
"""Columns of the files of the three parts."""
_SIZES = ("items", "users", "known_users", "train_sessions", "validation_sessions", "test_sessions")

logger = logging.getLogger("segue")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a corpus folder. Raises CorpusError when there is none, or it cannot be used."""
    try:
        manifest = read_object(folder / MANIFEST)
        written = manifest["format"]
        if written == FORMAT:
            _check_manifest(manifest)
            return manifest
    except FileNotFoundError:
        raise CorpusError(
            f"{folder} is not a corpus (no manifest.json); make one with: segue prepare LOG --out CORPUS"
        ) from None
    except NotADirectoryError:
        raise CorpusError(
            f"{folder} is a file, not a corpus; make one of a log with: segue prepare LOG --out CORPUS"
        ) from None
    except KeyError as error:
        raise CorpusError(f"the manifest of corpus {folder} cannot be read (no {error}); prepare it again") from None
    except (OSError, ValueError, ConfigError) as error:
        raise CorpusError(f"the manifest of corpus {folder} cannot be read ({error}); prepare it again") from None
    raise CorpusError(f"corpus {folder} has format {written!r:.100}, this Segue reads {FORMAT!r}; prepare it again")


def log_warnings_of(folder: Path) -> list[str]:
    """The warnings about the log that a corpus was prepared from; none where an earlier Segue prepared it."""
    found = read_manifest(folder).get("warnings")
    return [str(warning) for warning in found] if isinstance(found, list) else []


def recognise(folder: Path) -> None:
    """Raise CorpusError unless the folder is a corpus that Segue wrote, whole or damaged, of whatever version."""
    try:
        read_manifest(folder)
    except CorpusError:
        with suppress(OSError, ValueError):
            if str(read_object(folder / MANIFEST).get("format")).startswith("segue-corpus-"):
                return
        raise


def read_tables(
    folder: Path, manifest: Mapping[str, Any], parts: Sequence[str]
) -> tuple[pa.Table, pa.Table, list[pa.Table]]:
    """Items, users and the named parts of a corpus, each checked on its own.

    Raises OSError or ValueError when a file is missing, damaged or not what the manifest speaks of.
    """
    _check_files(folder, manifest, ("items", "users", *parts))
    items, users = (read_table(folder / f"{name}.parquet") for name in ("items", "users"))
    check_vocabulary(items, "item")
    known = check_vocabulary(users, "user")
    tables = [_read_part(folder, name) for name in parts]
    found = {"items": len(items), "users": len(users), "known_users": known}
    found |= {f"{part}_sessions": len(table) for part, table in zip(parts, tables, strict=True)}
    for name, number in found.items():
        expected = manifest["sizes"][name]
        if expected != number:
            raise ValueError(f"{MANIFEST} speaks of {expected:,} {name.replace('_', ' ')}, there are {number:,}")
    return items, users, tables


@contextmanager
def damage_named(folder: Path) -> Iterator[None]:
    """Turn what is wrong with the files of a corpus into a CorpusError of one line."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise CorpusError(f"the corpus {folder} is damaged: {first_line(error)}; prepare it again") from None


def checksums(folder: Path, manifest: Mapping[str, Any]) -> dict[str, str]:
    """sha256 of every file of a corpus that is about to be finished, by name; of the manifest, without this list."""
    files = {name: sha256_of(folder / name) for name in FILES if name != MANIFEST}
    return {MANIFEST: _manifest_hash(manifest), **files}


def _check_manifest(manifest: dict[str, Any]) -> None:
    """Raise KeyError, ValueError or ConfigError unless the keys that are read are there and mean something."""
    if not isinstance(manifest["fingerprint"], str):
        raise ValueError("its fingerprint is no text")
    sizes, settings = manifest["sizes"], manifest["settings"]
    if not isinstance(sizes, dict) or any(type(size) is not int or size < 0 for size in sizes.values()):
        raise ValueError("its sizes are no counts")
    if not isinstance(settings, dict):
        raise ValueError("its settings are no sections")
    Settings.parse(settings)
    for name in _SIZES:
        sizes[name]
    if CHECKSUMS in manifest:
        sums = listed(manifest[CHECKSUMS], FILES)
        if sums[MANIFEST] != _manifest_hash(manifest):
            raise ValueError("it has changed since")


def _check_files(folder: Path, manifest: Mapping[str, Any], names: Sequence[str]) -> None:
    """Compare files with their checksums. Raises OSError for one that is missing, ValueError for one that differs."""
    if CHECKSUMS not in manifest:
        _say_unverified(folder.absolute())
    for file in [f"{name}.parquet" for name in names] if CHECKSUMS in manifest else ():
        if sha256_of(folder / file) != manifest[CHECKSUMS][file]:
            raise ValueError(f"{file} has changed since it was prepared")


@cache
def _say_unverified(folder: Path) -> None:
    """Say once that a corpus has no checksums."""
    logger.warning(
        "the corpus %s was prepared before corpora had checksums: whether a file has changed since cannot be told;"
        " prepare it again to have them",
        folder,
    )


def _manifest_hash(manifest: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != CHECKSUMS}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _read_part(folder: Path, name: str) -> pa.Table:
    file = f"{name}.parquet"
    kinds = {field.name: field.type for field in PART_SCHEMA}
    table = read_table(folder / file, kinds)
    check_columns(table, kinds, ("session_id",), file)
    for column in ("items", "times"):
        nulls = sum(chunk.flatten().null_count for chunk in table.column(column).chunks)
        if nulls:
            raise ValueError(f"{file}: column '{column}' holds {nulls:,} nulls")
    return table
