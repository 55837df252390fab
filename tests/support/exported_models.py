"""Folders that `segue export` wrote, one per preset."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import small_logs

from segue.export.folder import export


@cache
def _home() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="segue-tests-")


@cache
def exported_model() -> Path:
    """The small fitted model of preset `segue`, exported."""
    out = Path(_home().name) / "exported"
    export(small_logs.fitted_model(), out)
    return out


def manifest_of(folder: Path) -> dict[str, Any]:
    """The manifest of an exported folder."""
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return found
