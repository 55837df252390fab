"""The files of a source: which reader each is for, and the values that the names of their folders hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from segue.data.engine import FILE, literal
from segue.data.log.opening.foreign import refuse_foreign
from segue.errors import LogError
from segue.system.paths import named

_TEXTS = {
    ".csv": "CSV",
    ".tsv": "TSV",
    ".txt": "text",
    ".dat": "text",
    ".data": "text",
    ".inter": "RecBole",
    ".item": "RecBole",
    ".user": "RecBole",
}
_JSONS = {".jsonl": "JSON lines", ".ndjson": "JSON lines", ".json": "JSON"}
_SUFFIXES = {
    **_TEXTS,
    **_JSONS,
    **{f"{suffix}.gz": kind for suffix, kind in (_TEXTS | _JSONS).items()},
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".feather": "Arrow",
    ".arrow": "Arrow",
    ".ipc": "Arrow",
    ".duckdb": "DuckDB",
    ".db": "DuckDB",
}
TEXT, JSON = frozenset(_TEXTS.values()), frozenset(_JSONS.values())
READABLE = (
    "Segue reads .csv, .tsv, .txt, .dat, .inter, .jsonl (each also .gz), .parquet, .feather, a folder of one of these, "
    "and FILE.duckdb::TABLE"
)


def kind_of(path: Path) -> str:
    """The kind of a file by its name. Raises LogError for an unknown one, with what converts it where that is known."""
    for suffix, kind in _SUFFIXES.items():
        if path.name.lower().endswith(suffix):
            return kind
    refuse_foreign(path)
    raise LogError(f"{path}: unknown kind of file; {READABLE}")


def find_files(path: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """The files behind a path, and notes on what was passed over: empty ones and files that are no logs.

    Raises LogError for a folder without a file that is read, or with several kinds, and for files that are empty or
    not what their names say.
    """
    files, notes = _inside(path) if path.is_dir() else ([path], [])
    for each in files:
        named(str(each))  # refuses a name that is not UTF-8
    kinds = {kind_of(each) for each in files}
    if len(kinds) > 1:
        raise LogError(f"the folder {path} mixes {' and '.join(sorted(kinds))} files; keep one kind")
    filled = [each for each in files if each.stat().st_size]
    if not filled:
        raise LogError(f"{files[0]} is empty (0 bytes)")
    notes += [f"{each} is empty (0 bytes) and was skipped" for each in files if each not in filled]
    for each in filled:
        refuse_foreign(each, text=kinds <= TEXT | JSON)
    return tuple(filled), tuple(notes)


def _inside(folder: Path) -> tuple[list[Path], list[str]]:
    """The files of a folder that are read, and a note where train and test parts are among them."""
    files = sorted(
        each
        for each in folder.rglob("*")
        if each.is_file()
        and any(each.name.lower().endswith(suffix) for suffix, kind in _SUFFIXES.items() if kind != "DuckDB")
        and not any(part.startswith((".", "_")) for part in each.relative_to(folder).parts)
    )
    if not files:
        raise LogError(f"the folder {folder} holds no file that is read; {READABLE}")
    divided = [each.name for each in files if re.search(r"(?i)(^|[\W_])(train|valid|val|test)([\W_]|$)", each.stem)]
    note = f"{', '.join(divided)}: the files of a folder are read as one log; Segue divides it itself (section [split])"
    return files, [note] if len(divided) > 1 else []


def partitions(path: Path, files: Sequence[Path]) -> dict[str, str]:
    """Key → SQL of its value, for files in folders called ``key=value``; the SQL reads the column of the file's name.

    Raises LogError where some of the files lie outside of such folders.
    """
    if not path.is_dir():
        return {}
    keys = [tuple(part.split("=")[0] for part in file.relative_to(path).parts[:-1] if "=" in part) for file in files]
    for file, found in zip(files, keys, strict=True):
        if found != keys[0]:
            wanted, other = (keys[0], file) if keys[0] else (found, files[0])
            raise LogError(
                f"{other} does not lie in a folder {wanted[0]}=…, as other files of {path} do; move it there"
            )
    inside = f"substr({FILE}, {len(str(path)) + 1})"
    return {
        key: f"nullif(url_decode(regexp_extract({inside}, {literal(f'/{re.escape(key)}=([^/]*)/')}, 1)), "
        "'__HIVE_DEFAULT_PARTITION__')"
        for key in keys[0]
    }
