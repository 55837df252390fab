"""The command ``segue recommend``: one request to a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from segue.cli.console import err, out, print_json
from segue.cli.options import Config, Json, Model, Set, note_unused, overrides_of
from segue.errors import RequestError
from segue.serving.recommender import Recommender


def recommend(
    model: Model,
    user: Annotated[str | None, typer.Option(help="User id; leave out for an anonymous session.")] = None,
    items: Annotated[str, typer.Option(help="The session, oldest first: a,b,c.")] = "",
    item: Annotated[list[str] | None, typer.Option(help="One item of the session; repeat, oldest first.")] = None,
    k: Annotated[int, typer.Option("-k", help="Number of items.")] = 10,
    history: Annotated[Path | None, typer.Option(help="File with the user's earlier items, one per line.")] = None,
    exclude: Annotated[str, typer.Option(help="Items never to show: a,b,c.")] = "",
    exclude_seen: Annotated[
        Literal["session", "history"] | None, typer.Option(help="Leave out items seen there.")
    ] = None,
    candidates: Annotated[Path | None, typer.Option(help="File with the only items to rank, one per line.")] = None,
    config: Config = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """The next items for a session, each with a reason.

    Example: `segue recommend model --user anna --items milk,bread -k 5`
    """
    if k < 1:
        raise RequestError(f"-k must be at least 1, found {k}")
    note_unused(overrides_of(config, set_), "a trained model")
    answer = Recommender.load(model)
    found = answer.recommend(
        user,
        [part for part in items.split(",") if part] + (item or []),
        k,
        [part for part in exclude.split(",") if part],
        _lines(candidates) if candidates else None,
        history=_lines(history) if history else None,
        exclude_seen=exclude_seen,
    )
    if as_json:
        print_json(found.as_dict())
        return
    for warning in found.warnings:
        err.print(warning)
    if found.skipped:
        err.print(f"unknown to the model, skipped: {', '.join(found.skipped)}")
    for place, entry in enumerate(found, start=1):
        out.print(f"{place:3d}  {entry.score:8.3f}  {answer.name(entry.item)}  ({entry.because['text']})")


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RequestError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RequestError(f"{path} is not UTF-8 text; write one item id a line") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
