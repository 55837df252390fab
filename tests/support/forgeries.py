"""Forged models and corpora: copies with one thing changed, and checksums that are honest about the change.

A forgery is drawn from a seed, so that each can be made again by its number. The forger re-hashes what the manifests
list, as anybody could; some forgeries leave the checksums as they were, or forge the manifest itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file, save_file

HUGE_ROWS = 100_000_000
"""Rows of a table that takes a few kilobytes on disk and gigabytes in memory."""
TENSORS = ("model.safetensors", "history.safetensors")
VOCABULARIES = ("items.parquet", "users.parquet")
PARTS = ("train.parquet", "validation.parquet", "test.parquet")


def forge(source: Path, target: Path, seed: str, *, corpus: bool) -> str:
    """Copy a model, or a corpus, and forge the copy; returns what was done to it.

    Args:
        corpus: whether the folder is a prepared corpus.
    """
    shutil.copytree(source, target)
    draw = random.Random(seed)
    kinds = (*_ANY_FOLDER, *((_parquet,) * 6 if corpus else (_parquet, *(_tensor,) * 5)))
    return draw.choice(kinds)(target, draw)


def rehash(folder: Path) -> None:
    """Make the checksums of a model or a corpus honest again: those that its manifest lists, of files that exist."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for name in manifest.get("sha256", {}):
        if name == "manifest.json":
            manifest["sha256"][name] = manifest_hash(manifest)
        elif (folder / name).is_file():
            manifest["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    path.write_text(json.dumps(manifest, indent=1))


def manifest_hash(manifest: dict[str, Any]) -> str:
    """The checksum that the manifest of a corpus holds of itself."""
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


# JSON: a value of another type, out of range or missing, somewhere in the tree; or a text that is no such tree.


def _json(folder: Path, draw: random.Random) -> str:
    name = draw.choice([n for n in ("config.json", "manifest.json") if (folder / n).exists()])
    path = folder / name
    tree = json.loads(path.read_text())
    known = [place for place in places(tree) if place[0] != "sha256"] or [("format",)]
    place = draw.choice(known)
    what, text = forged_json(tree, place, draw)
    path.write_text(text)
    _honest(folder, name)
    return f"{name}: {'.'.join(map(str, place))} is {what}"


def forged_json(tree: Any, place: tuple[Any, ...], draw: random.Random) -> tuple[str, str]:
    """What becomes of a place in a tree, and the tree as JSON with that in its place."""
    what, value = draw.choice(list(VALUES.items()))
    put(tree, place, "PLACE", remove=what == "missing")
    return what, json.dumps(tree).replace('"PLACE"', _DEEP if what == "deep" else json.dumps(value), 1)


def _json_text(folder: Path, draw: random.Random) -> str:
    name = draw.choice([n for n in ("config.json", "manifest.json", "corpus/manifest.json") if (folder / n).exists()])
    path = folder / name
    whole = path.read_text()
    texts = {
        "a list": b"[]",
        "a list of pairs": b'[["format", "segue-model-1"]]',
        "a number": b"3",
        "null": b"null",
        "empty": b"",
        "deep": _DEEP.encode(),
        "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        "no UTF-8": b'{"format": "\xff\xfe"}',
        "huge": b"[" + b"1," * 20_000_000 + b"1]",
        "a huge number": b'{"format": ' + b"9" * 100_000 + b"}",
        "said twice": whole.replace("{", '{"format": "other", "settings": {},', 1).encode(),
        "cut": whole.encode()[: len(whole) // 2],
        "a lone surrogate": whole.replace("{", '{"\\ud800": "\\udfff",', 1).encode(),
    }
    what = draw.choice(list(texts))
    path.write_bytes(texts[what])
    _honest(folder, name)
    return f"{name} is {what}"


def places(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*above, key)
        yield from places(value, (*above, key))


def put(tree: Any, place: tuple[Any, ...], value: Any, *, remove: bool) -> None:
    for key in place[:-1]:
        tree = tree[key]
    if remove:
        del tree[place[-1]]
    else:
        tree[place[-1]] = value


_DEEP = "[" * 100_000 + "]" * 100_000
VALUES: dict[str, Any] = {
    "missing": None,
    "deep": None,
    "null": None,
    "true": True,
    "-1": -1,
    "0": 0,
    "1e9": 10**9,
    "beyond int64": 2**70,
    "1e308": 1e308,
    "NaN": float("nan"),
    "infinite": float("inf"),
    "a word": "nonsense",
    "empty text": "",
    "NUL": "\0",
    "long": "x" * 100_000,
    "a path": "../../../../etc/passwd",
    "a list": [],
    "lists": [[1], [2]],
    "an object": {},
    "objects": {"name": {"name": {}}, "preset": []},
}


# Tensors: one that is missing, too many, of another type or shape, or with values out of range.


def _tensor(folder: Path, draw: random.Random) -> str:
    name = draw.choice(TENSORS)
    arrays = load_file(folder / name)
    key = draw.choice(sorted(arrays))
    what, change = draw.choice(list(CHANGES.items()))
    arrays = {k: v.clone() for k, v in arrays.items()}
    if what == "missing":
        del arrays[key]
    elif what == "extra":
        arrays[draw.choice(["extra", "graph.adjacent_in/extra", "graph.x/offsets", "recall.extra"])] = torch.ones(3)
    elif what == "swapped":
        other = draw.choice(sorted(arrays))
        arrays[key], arrays[other] = arrays[other].clone(), arrays[key].clone()
    else:
        arrays[key] = change(arrays[key], draw).contiguous()
    save_file(arrays, folder / name)
    _honest(folder, name)
    return f"{name}: {key} {what}"


def _filled(value: float, everywhere: bool) -> Callable[[torch.Tensor, random.Random], torch.Tensor]:
    def change(tensor: torch.Tensor, draw: random.Random) -> torch.Tensor:
        if tensor.dtype == torch.bool:
            return ~tensor
        limits = torch.finfo(tensor.dtype) if tensor.is_floating_point() else torch.iinfo(tensor.dtype)
        finite = value != value or abs(value) == float("inf")
        bounded = value if finite and tensor.is_floating_point() else max(min(value, limits.max), limits.min)
        if not tensor.is_floating_point():
            bounded = 0 if value != value else int(bounded)
        if everywhere or not tensor.numel():
            return torch.full_like(tensor, bounded)
        tensor.view(-1)[draw.randrange(tensor.numel())] = bounded
        return tensor

    return change


def _other_order(tensor: torch.Tensor, _: random.Random) -> torch.Tensor:
    return tensor.flip(0) if tensor.dim() else tensor


CHANGES: dict[str, Callable[[torch.Tensor, random.Random], torch.Tensor]] = {
    "missing": lambda t, _: t,
    "extra": lambda t, _: t,
    "swapped": lambda t, _: t,
    "as float16": lambda t, _: t.to(torch.float16),
    "as float64": lambda t, _: t.to(torch.float64),
    "as int64": lambda t, _: t.to(torch.int64),
    "as uint8": lambda t, _: t.to(torch.uint8),
    "as bool": lambda t, _: t.to(torch.bool),
    "as bfloat16": lambda t, _: t.to(torch.bfloat16),
    "empty": lambda t, _: t.flatten()[:0],
    "a scalar": lambda t, _: t.flatten()[:1].sum(),
    "one row less": lambda t, _: t[:-1] if t.dim() else t[None],
    "one row more": lambda t, _: torch.cat([t, t[-1:]]) if t.dim() else t[None],
    "one dimension more": lambda t, _: t[None],
    "turned": lambda t, _: t.t() if t.dim() == 2 else t[:, None] if t.dim() == 1 else t[None],
    "in reverse": _other_order,
    "all -1": _filled(-1, everywhere=True),
    "all 0": _filled(0, everywhere=True),
    "all huge": _filled(1e18, everywhere=True),
    "one -1": _filled(-1, everywhere=False),
    "one huge": _filled(3e18, everywhere=False),
    "one smallest": _filled(-4e38, everywhere=False),
    "one beyond": _filled(10**6, everywhere=False),
    "one NaN": _filled(float("nan"), everywhere=False),
    "one infinite": _filled(float("inf"), everywhere=False),
}


# Parquet: a column that is missing, renamed, of another type, with nulls or values out of range; rows that are none.


def _parquet(folder: Path, draw: random.Random) -> str:
    name = draw.choice([n for n in (*VOCABULARIES, *PARTS) if (folder / n).exists()])
    table = pq.read_table(folder / name)
    column = draw.choice(table.column_names)
    what, change = draw.choice(list(_COLUMNS.items()))
    try:
        table = change(table, column, draw)
    except pa.ArrowException:
        table = table.drop_columns([column])
        what = "missing"
    if what == "huge":
        _write_huge(folder / name, table)
    else:
        pq.write_table(table, folder / name)
    _honest(folder, name)
    return f"{name}: {column} {what}"


def _set(table: pa.Table, column: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(column), column, values)


def _with(value: Any) -> Callable[[pa.Table, str, random.Random], pa.Table]:
    """One value of a column, or one inside of one of its lists, is replaced."""

    def change(table: pa.Table, column: str, draw: random.Random) -> pa.Table:
        values, kind = table.column(column).to_pylist(), table.schema.field(column).type
        row = draw.randrange(len(values)) if values else 0
        if values and isinstance(values[row], list) and value is not None:
            values[row][-1] = value
        elif values:
            inside = not pa.types.is_list(kind)
            values[row] = (str(value) if pa.types.is_string(kind) and value is not None else value) if inside else None
        return _set(table, column, pa.array(values, kind))

    return change


def _null_inside(table: pa.Table, column: str, draw: random.Random) -> pa.Table:
    values = table.column(column).to_pylist()
    row = draw.randrange(len(values))
    values[row] = [None, *values[row][1:]] if isinstance(values[row], list) else None
    return _set(table, column, pa.array(values, table.schema.field(column).type))


def _other_length(table: pa.Table, column: str, draw: random.Random) -> pa.Table:
    values = table.column(column).to_pylist()
    row = draw.randrange(len(values))
    values[row] = draw.choice([[], values[row][:1], values[row] * 2]) if isinstance(values[row], list) else None
    return _set(table, column, pa.array(values, table.schema.field(column).type))


def _as(kind: Any) -> Callable[[pa.Table, str, random.Random], pa.Table]:
    def change(table: pa.Table, column: str, _: random.Random) -> pa.Table:
        old = table.schema.field(column).type
        new = pa.list_(kind) if pa.types.is_list(old) else kind
        return _set(table, column, table.column(column).combine_chunks().cast(new))

    return change


def _rows_from(order: Callable[[int], list[int]]) -> Callable[[pa.Table, str, random.Random], pa.Table]:
    return lambda table, column, _: table.take(pa.array(order(len(table)), pa.int64()))


def _repeated_value(table: pa.Table, column: str, draw: random.Random) -> pa.Table:
    values = table.column(column).to_pylist()
    if len(values) > 1:
        values[-1] = values[0]
    return _set(table, column, pa.array(values, table.schema.field(column).type))


def _write_huge(path: Path, table: pa.Table) -> None:
    """The first row, over and over, in groups that all take a few bytes."""
    block = table.slice(0, 1).take(pa.array([0] * 1_000_000))
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for _ in range(HUGE_ROWS // 1_000_000 // 10):
            writer.write_table(block)


_COLUMNS: dict[str, Callable[[pa.Table, str, random.Random], pa.Table]] = {
    "missing": lambda t, c, _: t.drop_columns([c]),
    "renamed": lambda t, c, _: t.rename_columns([n + "x" if n == c else n for n in t.column_names]),
    "twice": lambda t, c, _: t.append_column(c, t.column(c)),
    "extra": lambda t, c, _: t.append_column("extra", pa.array([[{"a": 1}]] * len(t))),
    "null": _with(None),
    "all null": lambda t, c, _: _set(t, c, pa.nulls(len(t), t.schema.field(c).type)),
    "of type null": lambda t, c, _: _set(t, c, pa.nulls(len(t))),
    "null inside": _null_inside,
    "another length": _other_length,
    "negative": _with(-1),
    "beyond": _with(10**6),
    "int32 at its end": _with(2**31 - 1),
    "int64 at its end": _with(2**63 - 1),
    "int64 at its start": _with(-(2**63)),
    "as text": _as(pa.string()),
    "as binary": _as(pa.binary()),
    "as a dictionary": lambda t, c, _: _set(t, c, t.column(c).dictionary_encode()),
    "as float": _as(pa.float64()),
    "as int8": _as(pa.int8()),
    "as int64": _as(pa.int64()),
    "as time": _as(pa.timestamp("ms")),
    "as lists": lambda t, c, _: _set(t, c, pa.array([[v] for v in t.column(c).to_pylist()])),
    "without rows": _rows_from(lambda n: []),
    "one row less": _rows_from(lambda n: list(range(n - 1))),
    "one row twice": _rows_from(lambda n: [*range(n), 0]),
    "in reverse": _rows_from(lambda n: list(range(n))[::-1]),
    "repeated": _repeated_value,
    "huge": lambda t, c, _: t,
}


# Files: missing, added, linked, cut, of another kind; single bits.


def _files(folder: Path, draw: random.Random) -> str:
    names = _names(folder)
    name = draw.choice(names)
    path = folder / name
    what = draw.choice(["missing", "extra", "linked away", "a dangling link", "a link to itself", "a device", "a pipe",
                        "a folder", "empty", "cut", "exchanged", "another kind", "a linked folder"])  # fmt: skip
    if what == "extra":
        name = draw.choice(["extra.bin", ".tmpAbC123", "manifest.json.writing", "model.bin.pkl"])
        (folder / name).write_bytes(b"something")
        _list(folder, name)
    elif what == "exchanged":
        other = folder / draw.choice(names)
        content = path.read_bytes()
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)
    elif what == "another kind":
        path.write_bytes(b"\x80\x04\x95\x1a\x00\x00\x00" * 10)
    elif what == "cut":
        os.truncate(path, path.stat().st_size * draw.randrange(100) // 100)
    elif what == "empty":
        os.truncate(path, 0)
    elif what == "a linked folder":
        aside = folder.with_name(folder.name + ".aside")
        folder.rename(aside)
        folder.symlink_to(aside)
    else:
        path.unlink()
        if what == "a folder":
            path.mkdir()
        elif what == "a pipe":
            os.mkfifo(path)
        elif what != "missing":
            path.symlink_to({"linked away": "/etc/passwd", "a dangling link": "nowhere", "a device": "/dev/zero",
                             "a link to itself": path.name}[what])  # fmt: skip
    _honest(folder, name)
    return f"{name} is {what}"


def _bits(folder: Path, draw: random.Random) -> str:
    """One bit of one file, the checksums as they were."""
    name = draw.choice(_names(folder))
    data = bytearray((folder / name).read_bytes())
    place = draw.randrange(len(data))
    data[place] ^= 1 << draw.randrange(8)
    (folder / name).write_bytes(data)
    return f"{name}: bit {place} flipped"


def _honest_bits(folder: Path, draw: random.Random) -> str:
    said = _bits(folder, draw)
    _honest(folder, said.partition(":")[0])
    return f"{said}, hashed anew"


def _seal(folder: Path, draw: random.Random) -> str:
    """The manifest's own list of checksums."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    passwd = hashlib.sha256(Path("/etc/passwd").read_bytes()).hexdigest()
    names = list(manifest.get("sha256", {})) or ["train.parquet"]
    lists: dict[str, Any] = {
        "empty": {},
        "null": None,
        "a list": [],
        "a list of pairs": [["config.json", "0" * 64]],
        "a word": "none",
        "with a file outside": {**manifest.get("sha256", {}), "../../../../../../../../etc/passwd": passwd},
        "with an absolute name": {**manifest.get("sha256", {}), "/etc/passwd": passwd},
        "with an empty name": {**manifest.get("sha256", {}), "": passwd},
        "with NUL": {**manifest.get("sha256", {}), "\0": passwd},
        "with a long name": {**manifest.get("sha256", {}), "x" * 5000: passwd},
        "without one": {k: v for k, v in manifest.get("sha256", {}).items() if k != draw.choice(names)},
        "of numbers": dict.fromkeys(names, 0),
        "of lists": {name: [] for name in names},
        "in capitals": {k: str(v).upper() for k, v in manifest.get("sha256", {}).items()},
    }
    what = draw.choice(list(lists))
    manifest["sha256"] = lists[what]
    path.write_text(json.dumps(manifest))
    return f"sha256 of the manifest is {what}"


def _version(folder: Path, draw: random.Random) -> str:
    name = draw.choice([n for n in ("config.json", "manifest.json", "corpus/manifest.json") if (folder / n).exists()])
    path = folder / name
    tree = json.loads(path.read_text())
    tree["format"] = draw.choice(["segue-model-2", "segue-corpus-2", "segue-model-0", "", "x\n\x1b[31my", 1, None, []])
    path.write_text(json.dumps(tree))
    _honest(folder, name)
    return f"{name} has format {tree['format']!r}"


def _names(folder: Path) -> list[str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    return [str(path.relative_to(folder)) for path in files]


def _list(folder: Path, name: str) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    if "sha256" in manifest:
        manifest["sha256"][name] = ""
    path.write_text(json.dumps(manifest))


def _honest(folder: Path, name: str) -> None:
    """Hash anew what was forged, the corpus inside of a model first; a manifest that is no JSON stays as it is."""
    for place in (folder / "corpus", folder):
        try:
            if (place / "manifest.json").is_file():
                rehash(place)
        except (ValueError, RecursionError, AttributeError, TypeError, OSError):
            continue


_ANY_FOLDER = (_json, _json, _json, _json, _json_text, _files, _files, _bits, _honest_bits, _seal, _version)
