"""What ``segue evaluate --cold`` is asked and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segue.cli.console import err, out, print_json, print_metrics, print_rows
from segue.cli.progress import training_bar
from segue.errors import RequestError
from segue.evaluation.cold import ITEMS, LIVE, OTHERS, UNKNOWN, Draw
from segue.pipeline.cold import How, measure_cold

_TITLES = {
    UNKNOWN: "held-out users, nothing known of them",
    LIVE: "held-out users, with their history",
    ITEMS: "held-out items",
    OTHERS: "other events",
}


def draw_of(cold: bool, users: float | None, items: float | None, seed: int | None) -> Draw | None:
    """What to hold out; None without --cold. Raises RequestError for options that do not go together."""
    given = {"--cold-users": users, "--cold-items": items, "--cold-seed": seed}
    if not cold:
        if alone := [name for name, value in given.items() if value is not None]:
            raise RequestError(f"{alone[0]} belongs to --cold; add it")
        return None
    for name, share in (("--cold-users", users), ("--cold-items", items)):
        if share is not None and not 0 < share < 1:
            raise RequestError(f"{name} must be above 0 and below 1, found {share}")
    if seed is not None and seed < 0:
        raise RequestError(f"--cold-seed must not be negative, found {seed}")
    names = {"users": users, "items": items, "seed": seed}
    return Draw(**{name: value for name, value in names.items() if value is not None})  # type: ignore[arg-type]


def evaluate_cold(
    model: Path, corpus: Path | None, draw: Draw, split: str, how: Mapping[str, Any], *, as_json: bool
) -> None:
    """Measure and print. Raises RequestError for what cannot be measured so."""
    if split != "test":
        raise RequestError("--cold measures the test part: validation chooses the epochs; leave --split out")
    if "discover" in how:
        raise RequestError("--cold and --discover do not go together; measure one after the other")
    with training_bar() as progress:
        result = measure_cold(model, corpus, draw, How(**how, progress=progress))
    for note in result.notes:
        err.say(f"note: {note}")
    if as_json:
        print_json(result.as_dict())
        return
    for name, group in result.groups.items():
        out.print(f"{_TITLES[name]}: {group.events:,} events of {group.users:,} users")
        print_metrics(group.metrics)
    held = {f"held out: {what}": f"{number:,}" for what, number in result.held_out.items()}
    print_rows({**held, "seed": result.seed, "history": result.history})
