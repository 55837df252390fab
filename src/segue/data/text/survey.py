"""A first look at the bytes of a text file: whether quotes or unusual line ends need a closer one."""

from __future__ import annotations

import gzip
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TextIO

from segue.errors import LogError

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Survey:
    r"""The signs of a file that decide how it can be read.

    Attributes:
        quotes: whether it holds a ``"`` anywhere.
        ends: number of line ends by kind, ``"\n"``, ``"\r\n"`` and ``"\r"``; only the kinds that occur. Empty for a
            file without quotes and without ``"\r"``, whose lines need not be counted.
        unended: whether the last line has no end.
    """

    quotes: bool
    ends: dict[str, int]
    unended: bool

    @property
    def mixed(self) -> bool:
        """Whether the lines of the file end in several ways."""
        return len(self.ends) > 1

    @property
    def lines(self) -> int:
        """Number of lines of a file whose line ends were counted."""
        return sum(self.ends.values()) + self.unended


def survey(file: Path) -> Survey:
    """Look through a whole file, packed or not.

    A packed file is unpacked to its end, for its length and checksum: DuckDB ignores the checksum, and before 2.0 takes
    a file that was cut off for one that ends there. Raises EOFError, BadGzipFile or zlib.error for a damaged one.
    """
    quotes = returns = False
    last = b"\n"
    with _bytes(file) as stream:
        while chunk := stream.read(_CHUNK):
            quotes = quotes or b'"' in chunk
            returns = returns or b"\r" in chunk
            last = chunk[-1:]
    return Survey(quotes, _line_ends(file) if quotes or returns else {}, last not in b"\r\n")


def is_packed(file: Path) -> bool:
    """Whether the name says that the file is packed by gzip."""
    return file.name.lower().endswith(".gz")


def is_blank(file: Path) -> bool:
    """Whether a file begins with nothing but a great deal of white space, or is empty."""
    with _bytes(file) as stream:
        return not stream.read(_CHUNK).strip()


@contextmanager
def as_text(file: Path) -> Iterator[TextIO]:
    """The text of a file without its byte order mark, line ends as they are; iterating gives lines.

    Raises LogError for text that is not UTF-8.
    """
    opener = gzip.open if is_packed(file) else open
    try:
        with opener(file, "rt", encoding="utf-8-sig", newline="") as text:
            yield text
    except UnicodeDecodeError:
        raise LogError(f"{file} is {not_utf8(file)}") from None


def not_utf8(file: Path) -> str:
    """What to say of a file whose text is not UTF-8, with the command that converts the usual other one."""
    plain = file.with_suffix("") if is_packed(file) else file
    out = shlex.quote(str(plain.with_name(f"{plain.stem}.utf8{plain.suffix}")))
    name = shlex.quote(str(file))
    source = f"gunzip -c {name} | iconv -f LATIN1 -t UTF-8" if is_packed(file) else f"iconv -f LATIN1 -t UTF-8 {name}"
    return f"not UTF-8 text; convert it, if it is Latin-1 by: {source} > {out}"


@contextmanager
def _bytes(file: Path) -> Iterator[IO[bytes]]:
    opener = gzip.open if is_packed(file) else open
    with opener(file, "rb") as stream:
        yield stream  # type: ignore[misc]


def _line_ends(file: Path) -> dict[str, int]:
    feeds = returns = both = 0
    last = b""
    with _bytes(file) as stream:
        while chunk := stream.read(_CHUNK):
            feeds += chunk.count(b"\n")
            found = chunk.count(b"\r")
            returns += found
            both += (chunk.count(b"\r\n") if found else 0) + (last == b"\r" and chunk[:1] == b"\n")
            last = chunk[-1:]
    counts = {"\n": feeds - both, "\r\n": both, "\r": returns - both}
    return {end: count for end, count in counts.items() if count}
