"""The packages that Segue needs or can use, as its own metadata lists them, and whether they are there and work."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from collections.abc import Iterator
from dataclasses import dataclass

from segue.errors import first_line

IMPORTED = ("numpy", "scipy", "pyarrow", "duckdb", "safetensors", "torch")
"""Packages of compiled code, which are tried: they may be installed and not work. The others are only looked up."""
_REQUIREMENT = re.compile(r"""([\w.-]+)\s*(?:\[[^\]]*\])?\s*([^;]*?)\s*(?:;.*\bextra\s*==\s*["']([\w-]+)["'].*)?$""")


@dataclass(frozen=True)
class Package:
    """A package that Segue names.

    Attributes:
        needed: the versions that Segue accepts, such as ``>=2.6``. extra: the extra of Segue that brings it; empty for
            a package that Segue cannot do without.
        version: the one that is installed; None where it is not.
        broken: why it cannot be imported; None where it can, or was not tried.
    """

    name: str
    needed: str
    extra: str
    version: str | None
    broken: str | None = None

    @property
    def too_old(self) -> bool:
        """Whether the installed version is older than Segue accepts."""
        least = re.search(r">=\s*([\w.]+)", self.needed)
        return bool(least and self.version and _release(self.version) < _release(least[1]))


def packages() -> list[Package]:
    """The packages that Segue needs, then those of its extras. The compiled ones among the first are imported."""
    named = [_package(*parts) for parts in _requirements()]
    return sorted(named, key=lambda package: (bool(package.extra), package.extra, package.name))


def _requirements() -> Iterator[tuple[str, str, str]]:
    for line in importlib.metadata.requires("segue") or []:
        found = _REQUIREMENT.match(line)
        if found is not None:
            yield found[1], found[2], found[3] or ""


def _package(name: str, needed: str, extra: str) -> Package:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Package(name, needed, extra, None)
    return Package(name, needed, extra, version, _broken(name) if name in IMPORTED else None)


def _broken(module: str) -> str | None:
    try:
        importlib.import_module(module)
    except Exception as error:  # whatever its libraries raise: a wrong processor, a missing library, a damaged file
        return f"{type(error).__name__}: {first_line(error)}"
    return None


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version that order it, without what follows them (``2.6.0rc1``, ``2.6.0+cpu``)."""
    numbers = re.match(r"[\d.]*", version)
    parts = [int(part) for part in (numbers[0] if numbers else "").split(".") if part]
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)
