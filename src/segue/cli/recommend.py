"""The command ``segue recommend``: one request to a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from segue.cli.console import err, out, print_json
from segue.cli.id_file import read_ids
from segue.cli.options import Config, Json, Model, Set, note_unused, overrides_of
from segue.errors import RequestError
from segue.report.text import in_one_line
from segue.serving.recommender import Recommender
from segue.serving.request import share_of


def recommend(
    model: Model,
    user: Annotated[str | None, typer.Option(help="User id; leave out for an anonymous session.")] = None,
    items: Annotated[str, typer.Option(help="The session, oldest first: a,b,c.")] = "",
    item: Annotated[list[str] | None, typer.Option(help="One item of the session; repeat, oldest first.")] = None,
    k: Annotated[int, typer.Option("-k", help="Number of items.")] = 10,
    history: Annotated[
        Path | None, typer.Option(help="File with the user's earlier items, one per line or a column item_id.")
    ] = None,
    exclude: Annotated[str, typer.Option(help="Items never to show: a,b,c.")] = "",
    exclude_item: Annotated[
        list[str] | None, typer.Option(help="One item never to show, which may hold commas; repeat.")
    ] = None,
    exclude_seen: Annotated[
        Literal["session", "history"] | None, typer.Option(help="Leave out items seen there.")
    ] = None,
    candidates: Annotated[
        Path | None, typer.Option(help="File with the only items to rank, one per line or a column item_id.")
    ] = None,
    discover: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of the places reserved for items new to the user: 0.2.")
    ] = 0.0,
    config: Config = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """The next items for a session, each with a reason.

    Example: `segue recommend model --user anna --items milk,bread -k 5`
    """
    if k < 1:
        raise RequestError(f"-k must be at least 1, found {k}")
    share_of(discover, "--discover")
    note_unused(overrides_of(config, set_), "a trained model")
    recommender = Recommender.load(model)
    known = recommender.known_items
    answer = recommender.recommend(
        user,
        [part for part in items.split(",") if part] + (item or []),
        k,
        [part for part in exclude.split(",") if part] + (exclude_item or []),
        read_ids(candidates, known) if candidates else None,
        history=read_ids(history, known) if history else None,
        exclude_seen=exclude_seen,
        discover=discover,
    )
    if as_json:
        print_json(answer.as_dict())
        return
    for warning in answer.warnings:
        err.print(warning)
    if answer.skipped:
        err.print(f"unknown to the model, skipped: {known.in_words(answer.skipped)}")
    for place, entry in enumerate(answer, start=1):
        line = f"{place:3d}  {entry.score:8.3f}  {recommender.name(entry.item)}  ({entry.because['text']})"
        line += "  new to the user" if entry.discovery else ""
        out.print(in_one_line(line))
