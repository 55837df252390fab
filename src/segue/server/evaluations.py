"""What was measured of a model, as the files beside it say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segue.errors import first_line
from segue.system.json_files import read_object
from segue.system.log_lines import line


def evaluations_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Part → what was measured on it; a file that cannot be read is left out, and the log says so."""
    found = {}
    for path in sorted((folder / "evaluation").glob("*.json")):
        try:
            measured = read_object(path)
        except (OSError, ValueError) as error:
            line("error", "evaluation", why=f"cannot read {path}: {first_line(error)}")
            continue
        if "metrics" in measured:  # a comparison notes other things there too, such as the cost
            found[path.stem] = measured
    return found
