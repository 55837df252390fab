"""The files of a source: which reader each is for, and the values that the names of their folders hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from segue.data.engine import FILE, literal
from segue.data.log.opening.foreign import refuse_foreign
from segue.data.log.opening.shards import gap_notes, unfinished_notes
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
_ABOUT = re.compile(
    r"(?i)^(readme|license|licence|changelog|makefile)\b|\.(md|rst|pdf|html|crc|md5|sha\d+|py|sh|sql|ini|toml|ya?ml)$"
)
"""Names of files that stand beside data and are never events."""


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
        with _in_folder(path):
            refuse_foreign(each, text=kinds <= TEXT | JSON)
    return tuple(filled), tuple(notes)


@contextmanager
def _in_folder(path: Path) -> Iterator[None]:
    """Add to a refusal of a file what holds beside it of files in folders, where `path` is one."""
    try:
        yield
    except LogError as error:
        if not path.is_dir():
            raise
        raise LogError(
            f"{error}; the folder {path} is one log: move what is no part of it, such as a file that you have "
            "converted, out of it"
        ) from None


def _inside(folder: Path) -> tuple[list[Path], list[str]]:
    """The files of a folder that are read, and notes where others, or train and test parts, are among them.

    Raises LogError for a folder without a file that is read, and for a data file that must be converted first.
    """
    present = sorted(
        each
        for each in folder.rglob("*")
        if each.is_file() and not any(part.startswith((".", "_")) for part in each.relative_to(folder).parts)
    )
    files = [each for each in present if _is_part(each)]
    notes = _passed_over(folder, [each for each in present if not (_is_part(each) or _ABOUT.search(each.name))])
    if not files:
        raise LogError(
            f"the folder {folder} holds no file that is read; {''.join(f'{note}; ' for note in notes)}{READABLE}"
        )
    divided = [each.name for each in files if re.search(r"(?i)(^|[\W_])(train|valid|val|test)([\W_]|$)", each.stem)]
    if len(divided) > 1:
        names = ", ".join(divided)
        notes.append(f"{names}: the files of a folder are read as one log; Segue divides it itself (section [split])")
    return files, [*notes, *gap_notes(folder, files), *unfinished_notes(folder)]


def _is_part(file: Path) -> bool:
    """Whether the name says that a file of a folder is a part of a log."""
    return any(file.name.lower().endswith(suffix) for suffix, kind in _SUFFIXES.items() if kind != "DuckDB")


def _passed_over(folder: Path, others: Sequence[Path]) -> list[str]:
    """A note on the files of a folder that are not read. Raises LogError for one that is known to hold data."""
    filled = [each for each in others if each.stat().st_size]
    for each in filled:
        with _in_folder(folder):
            refuse_foreign(each)
    if not filled:
        return []
    count = "1 file of it is" if len(filled) == 1 else f"{len(filled):,} files of it are"
    example = f"{'' if len(filled) == 1 else 'such as '}{filled[0].relative_to(folder)}"
    return [
        f"{count} not read ({example}), because of the name's ending; a part of the log needs the ending of its kind"
    ]


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
