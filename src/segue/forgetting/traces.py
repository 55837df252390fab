"""Looks for what could be left of a person in files: ids among the stored texts, and bytes wherever they stand.

An id is compared with every user that a file names. In other texts, and in bytes that no reader shows, it is looked for
only where it cannot be there by chance: "7" is in every file, "unknown" is a word of Segue's own, and user 123456 and
session 123456 may be anybody's.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import safe_open

_LEAST = 6
"""Bytes of an id that is looked for everywhere: in a gigabyte of noise one of six is found with p < 1e-5."""
_USERS, _ITEMS, _METADATA = "users", "items", "metadata"
_COLUMNS = {
    ("users.parquet", "user_id"): _USERS,
    ("ranks.parquet", "user"): _USERS,
    ("events.sqlite", "events.user"): _USERS,
    ("ranks.parquet", "target"): _ITEMS,
    ("events.sqlite", "events.item"): _ITEMS,
}
"""Ending of a file, and a column in it that names users, or items; all columns of ``items.parquet`` are of items."""


@dataclass(frozen=True)
class Searched:
    """The result of a search.

    Attributes:
        traces: where something was found, in words, never with the id itself.
        files, bytes: how many were read. texts: stored texts, equal ones of a column once.
        namesakes: ids that are also those of an item.
    """

    traces: tuple[str, ...]
    files: int
    bytes: int
    texts: int
    namesakes: int


def search(
    files: Sequence[Path], home: Path, ids: Sequence[str], rows: Sequence[bytes], others: Sequence[str] = ()
) -> Searched:
    """Look for ids, and for rows of numbers by their bytes, in some files below `home`.

    Args:
        others: ids of those who stay; where one stands in a text, it is not the shorter id of somebody else.

    Raises ValueError for a file of a kind that cannot be read.
    """
    wanted, longer = [each for each in ids if is_distinctive(each)], longer_ids(ids, others)
    in_bytes = [each for each in ids if is_distinctive(each) or (each.isdigit() and len(each) >= _LEAST)]
    traces, size, texts, namesakes = [], 0, 0, set[str]()
    for path in files:
        name, harmless = path.relative_to(home).as_posix(), set[bytes]()
        for column, values in _texts(path):
            kind, texts = _kind_of(name, column), texts + len(values)
            theirs = values.intersection(ids) if kind else {value for value in values if names(value, wanted, longer)}
            if kind == _ITEMS:
                namesakes |= theirs
                theirs = set()
            if theirs:
                traces.append(f"{name}: {column} names the person in {len(theirs):,} texts")
            harmless |= {value.encode() for value in values - theirs if any(each in value for each in in_bytes)}
        size += path.stat().st_size
        traces += [f"{name}: {what}" for what in _in_bytes(path, in_bytes, rows, harmless)]
    return Searched(tuple(traces), len(files), size, texts, len(namesakes))


def is_distinctive(each: str) -> bool:
    """Whether an id is long enough, and neither a plain word nor a number, so that it is in no text by chance."""
    return len(each.encode()) >= _LEAST and not each.replace("_", "").isalpha() and not each.isdigit()


def _kind_of(name: str, column: str) -> str | None:
    """What a column of a file names; None where that is neither users nor items."""
    if name.endswith("items.parquet") and column != _METADATA:
        return _ITEMS
    return next((kind for (ending, of), kind in _COLUMNS.items() if name.endswith(ending) and column == of), None)


def longer_ids(ids: Sequence[str], others: Iterable[str]) -> list[str]:
    """Those of some other ids that hold one of the ids as a word of its own, as "anna_1-b" holds "anna_1"."""
    part = re.compile("|".join(map(re.escape, ids)))
    return [other for other in others if part.search(other) and names(other, ids)]


def names(text: str, ids: Sequence[str], longer: Sequence[str] = ()) -> bool:
    """Whether a text holds one of the ids as a word of its own: "anna_1" in "anna_1/visit 3", and not in "anna_12".

    Args:
        longer: ids of others; what stands inside of one of these is none.
    """
    found = [each for each in ids if _delimited(text, each)]
    if found and longer:
        for other in longer:
            text = text.replace(other, "\0")
        return any(_delimited(text, each) for each in found)
    return bool(found)


def _delimited(text: str, wanted: str) -> bool:
    place = text.find(wanted)
    while place >= 0:
        before, after = text[place - 1 : place] if place else "", text[place + len(wanted) :][:1]
        if not before.isalnum() and not after.isalnum():
            return True
        place = text.find(wanted, place + 1)
    return False


def _in_bytes(path: Path, ids: Sequence[str], rows: Sequence[bytes], harmless: set[bytes]) -> Iterator[str]:
    """What of ids and rows stands in the bytes of a file, outside of the texts that may hold it."""
    if not path.stat().st_size:
        return
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as held:
        first = _behind_shown(path, held)
        for each in ids:
            wanted = each.encode()
            spans = {(place, len(text)) for text in harmless for place in _places(text, wanted)}
            if any(not _covered(held, place, spans, harmless) for place in _places(held, wanted, first)):
                yield "its bytes hold the id of the person"
        if any(next(_places(held, row), None) is not None for row in rows):
            yield "its bytes hold a row of numbers that was theirs"


def _behind_shown(path: Path, held: mmap) -> int:
    """Where the bytes begin that a reader does not show whole: it does show JSON, whose numbers may have any digits,
    and Parquet of texts and numbers, whose bytes are compressed, so that half of an id may stand for the whole."""
    if path.suffix in (".json", ".jsonl") or (path.suffix == ".parquet" and _is_plain(path)):
        return len(held)
    return 8 + int.from_bytes(held[:8], "little") if path.suffix == ".safetensors" else 0


def _places(held: mmap | bytes, wanted: bytes, first: int = 0) -> Iterator[int]:
    place = held.find(wanted, first)
    while place >= 0:
        yield place
        place = held.find(wanted, place + 1)


def _covered(held: mmap, place: int, spans: set[tuple[int, int]], harmless: set[bytes]) -> bool:
    """Whether the id at a place of a file is a part of a text that may hold it."""
    return any(held[max(place - at, 0) : place - at + length] in harmless for at, length in spans)


def _texts(path: Path) -> Iterator[tuple[str, set[str]]]:
    """The texts that a file holds, column by column."""
    if path.suffix not in _READERS:
        raise ValueError(f"{path.name} is of a kind that cannot be searched")
    yield from _READERS[path.suffix](path)


def _of_parquet(path: Path) -> Iterator[tuple[str, set[str]]]:
    with pq.ParquetFile(path) as file:
        for field in file.schema_arrow:
            if _is_text(field.type):
                found: set[str] = set()
                for batch in file.iter_batches(columns=[field.name]):
                    found.update(batch.column(0).unique().to_pylist())
                yield field.name, found - {None}
        extra = file.schema_arrow.metadata or {}
        yield _METADATA, {text.decode("utf-8", "replace") for pair in extra.items() for text in pair}


def _is_plain(path: Path) -> bool:
    """Whether a Parquet file has columns of texts, numbers and times alone."""
    with pq.ParquetFile(path) as file:
        return all(_is_text(field.type) or pa.types.is_primitive(field.type) for field in file.schema_arrow)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _of_safetensors(path: Path) -> Iterator[tuple[str, set[str]]]:
    with safe_open(path, framework="numpy") as file:
        metadata: Mapping[str, str] = file.metadata() or {}
        yield "names", {*file.keys()}
        yield _METADATA, {*metadata, *metadata.values()}


def _of_json(path: Path) -> Iterator[tuple[str, set[str]]]:
    yield "its JSON", set(_walk(json.loads(path.read_text(encoding="utf-8"))))


def _of_json_lines(path: Path) -> Iterator[tuple[str, set[str]]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    yield "its JSON", {text for line in lines if line for text in _walk(json.loads(line))}


def _walk(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from value
        for each in value.values():
            yield from _walk(each)
    elif isinstance(value, list):
        for each in value:
            yield from _walk(each)


def _of_sqlite(path: Path) -> Iterator[tuple[str, set[str]]]:
    with closing(sqlite3.connect(path, timeout=5.0)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
            for column in columns:
                query = f'SELECT DISTINCT "{column}" FROM "{table}" WHERE typeof("{column}") = \'text\''
                yield f"{table}.{column}", {text for (text,) in connection.execute(query)}


_READERS: Mapping[str, Callable[[Path], Iterator[tuple[str, set[str]]]]] = {
    ".parquet": _of_parquet,
    ".safetensors": _of_safetensors,
    ".json": _of_json,
    ".jsonl": _of_json_lines,
    ".sqlite": _of_sqlite,
    ".sqlite-wal": lambda _: iter(()),
    ".sqlite-shm": lambda _: iter(()),
}
"""Ending of a file → its reader; SQLite's own files beside a database hold no table of their own."""
