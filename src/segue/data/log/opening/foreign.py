"""Files that Segue does not read: what they are, by their first bytes or their names, and what converts each."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from segue.errors import LogError


@dataclass(frozen=True)
class _Foreign:
    """One kind of file that is not read.

    Attributes:
        words: what it is.
        command: what converts it; with ``{file}`` and with ``{stem}`` and ``{suffix}``, the parts of its name.
        remark: what must be known before.
    """

    words: str
    command: str
    remark: str = ""


def _python(code: str, suffix: str) -> str:
    return f'python -c "{code}" {{file}} {{stem}}{suffix}'


def _pandas(reader: str) -> str:
    return _python(f"import sys, pandas; pandas.{reader}(sys.argv[1]).to_csv(sys.argv[2], index=False)", ".csv")


def _unpacked(module: str) -> str:
    code = f"import sys, {module}, shutil; shutil.copyfileobj({module}.open(sys.argv[1]), open(sys.argv[2], 'wb'))"
    return f'python -c "{code}" {{file}} {{unpacked}}'


_ZIP = _Foreign("a zip archive", "python -m zipfile -e {file} {stem}", "then name the folder {stem}")
_GZIP = _Foreign("a file packed by gzip", "mv {file} {file}.gz")
_PARQUET = _Foreign("a Parquet file", "mv {file} {stem}.parquet")
_ARROW = _Foreign("an Arrow file", "mv {file} {stem}.feather")
_BZIP = _Foreign("a file packed by bzip2", _unpacked("bz2"))
_XZ = _Foreign("a file packed by xz", _unpacked("lzma"))
_ZSTD = _Foreign("a file packed by zstandard", "zstd -d {file} -o {unpacked}")
_SQLITE = _Foreign(
    "a SQLite database",
    _python(
        "import sys, csv, sqlite3; rows = sqlite3.connect(sys.argv[1]).execute('SELECT * FROM ' + sys.argv[3]); "
        "out = csv.writer(open(sys.argv[2], 'w', newline='')); "
        "out.writerow([column[0] for column in rows.description]); out.writerows(rows)",
        ".csv TABLE",
    ),
    "TABLE is the table's name",
)
_AVRO = _Foreign(
    "an Avro file",
    _python(
        "import sys, fastavro, pyarrow, pyarrow.parquet; rows = list(fastavro.reader(open(sys.argv[1], 'rb'))); "
        "pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sys.argv[2])",
        ".parquet",
    ),
    "after pip install fastavro",
)
_ORC = _Foreign(
    "an ORC file",
    _python(
        "import sys, pyarrow.orc, pyarrow.parquet; "
        "pyarrow.parquet.write_table(pyarrow.orc.read_table(sys.argv[1]), sys.argv[2])",
        ".parquet",
    ),
)
_EXCEL = _Foreign("an Excel workbook", _pandas("read_excel"), "after pip install pandas openpyxl")
_OLD_EXCEL = _Foreign("an old Excel workbook", _pandas("read_excel"), "after pip install pandas xlrd")
_HDF = _Foreign("an HDF5 file", _pandas("read_hdf"), "after pip install pandas tables")
_STATA = _Foreign("a Stata file", _pandas("read_stata"), "after pip install pandas")
_PICKLE = _Foreign(
    "a pickle, which Segue never opens because opening it runs the code in it",
    _pandas("read_pickle"),
    "after pip install pandas, and only if you trust the file",
)
_UTF16 = _Foreign("UTF-16 text", "iconv -f UTF-16 -t UTF-8 {file} > {stem}.utf8{suffix}")
_UTF16_BARE = _Foreign("UTF-16 text", "iconv -f UTF-16LE -t UTF-8 {file} > {stem}.utf8{suffix}")

_SIGNS = {
    b"\x1f\x8b": _GZIP,
    b"PAR1": _PARQUET,
    b"ARROW1": _ARROW,
    b"BZh": _BZIP,
    b"\xfd7zXZ\x00": _XZ,
    b"\x28\xb5\x2f\xfd": _ZSTD,
    b"SQLite format 3\x00": _SQLITE,
    b"Obj\x01": _AVRO,
    b"\xd0\xcf\x11\xe0": _OLD_EXCEL,
    b"\x89HDF": _HDF,
    b"ORC": _ORC,
    b"\x80\x02": _PICKLE,
    b"\x80\x03": _PICKLE,
    b"\x80\x04": _PICKLE,
    b"\x80\x05": _PICKLE,
    b"\xff\xfe": _UTF16,
    b"\xfe\xff": _UTF16,
}
_NAMES = {
    ".xlsx": _EXCEL,
    ".xls": _OLD_EXCEL,
    ".zip": _ZIP,
    ".bz2": _BZIP,
    ".xz": _XZ,
    ".zst": _ZSTD,
    ".sqlite": _SQLITE,
    ".sqlite3": _SQLITE,
    ".avro": _AVRO,
    ".orc": _ORC,
    ".h5": _HDF,
    ".hdf5": _HDF,
    ".dta": _STATA,
    ".pkl": _PICKLE,
    ".pickle": _PICKLE,
}
_OWN = {_PARQUET.words: (".parquet", ".pq"), _ARROW.words: (".feather", ".arrow", ".ipc"), _GZIP.words: (".gz",)}
"""Endings under which a kind is read."""
_NO_ENDING = ("\0",)
_HEAD = 4096


def refuse_foreign(path: Path, *, text: bool = False) -> None:
    """Raise LogError when a file is, by its first bytes or its name, of a kind that is not read under this name.

    Args:
        text: whether its name promises text, which holds no zero bytes.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    found = _of_bytes(head, path) or _NAMES.get(path.suffix.lower())
    if found and not path.name.lower().endswith(_OWN.get(found.words, _NO_ENDING)):
        raise LogError(f"{path} is {found.words}; convert it: {_filled(found.command, path)}{_remark(found, path)}")
    if text and not found and b"\0" in head:
        raise LogError(f"{path} is no text (it holds zero bytes); is it a file of another kind?")


def _of_bytes(head: bytes, path: Path) -> _Foreign | None:
    if head[8:12] == b"DUCK":
        return None
    if head.startswith(b"PK\x03\x04"):
        return _EXCEL if path.suffix.lower() == ".xlsx" or b"[Content_Types].xml" in head else _ZIP
    if len(head) > 3 and not any(head[1:64:2]) and all(head[:64:2]):
        return _UTF16_BARE
    return next((found for sign, found in _SIGNS.items() if head.startswith(sign)), None)


def _remark(found: _Foreign, path: Path) -> str:
    return f" ({_filled(found.remark, path)})" if found.remark else ""


def _filled(command: str, path: Path) -> str:
    plain = path.with_suffix("")
    unpacked = plain if plain.suffix else plain.with_suffix(".csv")
    if unpacked == path:
        unpacked = path.with_suffix(f".unpacked{path.suffix}")
    names = {"file": str(path), "stem": str(plain), "unpacked": str(unpacked)}
    quoted = {key: shlex.quote(name) for key, name in names.items()}
    return command.format(**quoted, suffix=path.suffix)
