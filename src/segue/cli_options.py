"""Options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.overrides import read_overrides
from segue.settings import Nested

Config = Annotated[Path | None, typer.Option("--config", help="Settings as TOML, a section a topic.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="SECTION.KEY=VALUE, over --config. May be repeated.")]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there, once the new one is complete.")]


def overrides_of(config: Path | None, assignments: list[str] | None, drop_invalid: bool = False) -> Nested:
    """The user's own wishes, from --config, --set and --drop-invalid."""
    overrides = read_overrides(config, assignments or [])
    if drop_invalid:
        overrides.setdefault("preparation", {})["drop_invalid"] = True
    return overrides
