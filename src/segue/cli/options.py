"""Options that commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from segue.cli.console import err
from segue.errors import ConfigError
from segue.settings import Nested, compose
from segue.settings.overrides import read_overrides
from segue.system.paths import named_path

Config = Annotated[Path | None, typer.Option("--config", help="Settings as TOML, one section per topic.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="SECTION.KEY=VALUE, over --config. May be repeated.")]
MachineSet = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="preparation.memory_limit=…, training.device=… or training.threads=…, where this machine is another one"
        " than the model's. May be repeated.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there, once the new one is complete.")]
Log = Annotated[
    str,
    typer.Argument(
        help="CSV, TSV (also .gz), Parquet file or folder, FILE.duckdb::TABLE, or a known data set: "
        "lastfm:FILE, xing:FILE, reddit:FILE, complete-journey:"
    ),
]
Corpus = Annotated[Path, typer.Argument(help="A prepared corpus.")]
Model = Annotated[Path, typer.Argument(help="A trained model.")]
Items = Annotated[Path | None, typer.Option("--items", help="File of item_id, optional name, categorical columns.")]
Users = Annotated[Path | None, typer.Option("--users", help="File of user_id, optional name, categorical columns.")]
Drop = Annotated[bool, typer.Option("--drop-invalid", help="Drop and count rows without id or time.")]


def with_named_paths(command: Callable[..., None]) -> Callable[..., None]:
    """The command with every path that it is given as :func:`segue.system.paths.named_path` has it."""

    @wraps(command)
    def run(**given: Any) -> None:
        command(**{name: named_path(value) if isinstance(value, Path) else value for name, value in given.items()})

    return run


def state_of(model: Path) -> Path:
    """Where the live events of a model are kept unless another place is named; a link keeps its own when it leads to
    another model."""
    place = Path(os.path.abspath(model))
    return place.parent / f"{place.name}.state"


def overrides_of(config: Path | None, assignments: list[str] | None, drop_invalid: bool = False) -> Nested:
    """The settings that the user chose, from --config, --set and --drop-invalid."""
    overrides = read_overrides(config, assignments or [])
    if drop_invalid:
        overrides.setdefault("preparation", {})["drop_invalid"] = True
    return overrides


LiveWeights = Annotated[
    Path | None, typer.Option(metavar="FILE", help="What `segue replay --learn` has learned, for --live.")
]
LiveItems = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Names and attributes of items, new ones too, for --live.")
]


def refuse_unless_live(live: bool, **given: object) -> None:
    """Raise ConfigError where an option is given that live counts alone can use; `given` by the options' names."""
    for name, value in given.items():
        if value is not None and not live:
            raise ConfigError(f"--{name.replace('_', '-')} is for live counts; add --live, or leave it out")


def note_unused(overrides: Nested, what: str) -> None:
    """Say which settings a command checks like every other but does not use."""
    compose(overrides)
    if overrides:
        err.say(f"note: {what} carries its own settings; --config and --set change nothing here")
