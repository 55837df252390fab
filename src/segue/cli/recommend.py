"""The command ``segue recommend``: one request to a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from segue.cli.console import err, out, print_json
from segue.cli.id_file import read_ids
from segue.cli.options import Config, Json, Model, Overwrite, Set, note_unused, overrides_of
from segue.cli.progress import request_bar
from segue.errors import RequestError
from segue.report.text import in_one_line
from segue.serving.batch import write_lists
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
    batch: Annotated[
        Path | None, typer.Option(help="File of requests (.parquet, .csv, .jsonl), answered row by row into --out.")
    ] = None,
    to: Annotated[Path | None, typer.Option("--out", help="Parquet file for the lists of --batch.")] = None,
    overwrite: Overwrite = False,
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
    alone = any((user, items, item, history, exclude, exclude_item, exclude_seen, candidates, discover))
    place = _place_of_lists(batch, to, alone=alone, overwrite=overwrite)
    recommender = Recommender.load(model)
    if batch is not None and place is not None:
        _answer_all(recommender, batch, place, k, as_json=as_json, overwrite=overwrite)
        return
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
        err.say(warning, "warning")
    if answer.skipped:
        err.say(f"unknown to the model, skipped: {known.in_words(answer.skipped)}", "warning")
    for rank, entry in enumerate(answer, start=1):
        line = f"{rank:3d}  {entry.score:8.3f}  {recommender.name(entry.item)}  ({entry.because['text']})"
        line += "  new to the user" if entry.discovery else ""
        out.print(in_one_line(line))


def _place_of_lists(batch: Path | None, to: Path | None, *, alone: bool, overwrite: bool) -> Path | None:
    """Where the lists of a batch go; None for a single request. Raises RequestError for options that do not go
    together."""
    if batch is None:
        if to is not None or overwrite:
            raise RequestError("--out and --overwrite belong to --batch REQUESTS; one answer goes to stdout")
        return None
    if to is None:
        raise RequestError("--batch needs a file for its lists: --out LISTS.parquet")
    if alone:
        raise RequestError("--batch reads users, items and filters from its file; of the others only -k goes with it")
    return to


def _answer_all(recommender: Recommender, batch: Path, place: Path, k: int, *, as_json: bool, overwrite: bool) -> None:
    """Answer a file of requests, and say what became of its rows."""
    with request_bar() as progress:
        counted = write_lists(recommender, batch, place, k, progress, overwrite=overwrite)
    if as_json:
        print_json(counted.as_dict())
        return
    for row in (*counted.named, *counted.noted):
        err.say(row, "warning")
    for count, of, what in (
        (counted.bad, counted.requests, "rows are no request and have no list"),
        (counted.with_unknown_items, counted.lists, "requests hold items that the model does not know"),
        (counted.with_warnings, counted.lists, "requests come with a warning, such as those above"),
        (counted.empty, counted.lists, "lists are empty: none of their items was eligible"),
    ):
        if count:
            err.say(f"{count:,} of {of:,} {what}", "warning")
    out.print(f"{counted.lists:,} lists in {place}")
