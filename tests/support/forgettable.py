"""A small log with a person who leaves every kind of trace, the corpus made of it, and models of every kind."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import runs
import small_logs

from segue.pipeline.stages import Options
from segue.settings import Nested

PERSON, OTHER = "user03", "user04"
OWN = ("private0", "private1")
"""Items that only the person has in train; another user has the first of them in test."""
SETTINGS: Nested = {
    **small_logs.with_settings(training={"max_epochs": 1, "epoch_steps": 4, "pass_steps": 4}),
    "columns": {"session_id": "session_id"},
}
del SETTINGS["model"]


@cache
def _home() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="segue-forget-")


@cache
def log() -> Path:
    """The small log with ids of sessions that name their user, and with private items."""
    rows = []
    visits = dict.fromkeys({user for user, *_ in small_logs.rows()}, 0)
    for place, (user, item, time) in enumerate(small_logs.rows()):
        visits[user] += place % 4 == 0
        number = visits[user]
        if user == PERSON and number in (2, 3) and place % 4 == 2:
            item = OWN[number - 2]
        if user == OTHER and number == small_logs.VISITS and place % 4 == 2:
            item = OWN[0]
        rows.append((user, item, time, f"{user}/{number}"))
    return small_logs.write_csv(Path(_home().name) / "log.csv", rows, (*small_logs.COLUMNS, "session_id"))


@cache
def items_file() -> Path:
    """A kind for every item; one that only a private item is of."""
    items = sorted({line.split(",")[1] for line in log().read_text().splitlines()[1:]})
    special = {OWN[0]: "f", OWN[1]: "private"}
    kinds = [(item, f"The {item}", special.get(item, item[0])) for item in items]
    return small_logs.write_csv(Path(_home().name) / "items.csv", kinds, ("item_id", "name", "kind"))


@cache
def users_file() -> Path:
    """A town for every user; one in which only the person lives."""
    users = sorted({user for user, *_ in small_logs.rows()})
    towns = [(user, f"Mx {user[-2:]}", "Nowhere" if user == PERSON else f"Town{user[-1]}") for user in users]
    return small_logs.write_csv(Path(_home().name) / "users.csv", towns, ("user_id", "name", "town"))


@cache
def corpus() -> Path:
    """The log prepared. Not to be changed by a test."""
    folder = Path(_home().name) / "corpus"
    runs.prepare(str(log()), folder, SETTINGS, items=items_file(), users=users_file())
    return folder


@cache
def without() -> Path:
    """The log without the person, prepared. Not to be changed by a test."""
    lines = log().read_text().splitlines()
    left = [line.split(",") for line in lines[1:] if not line.startswith(PERSON)]
    path = small_logs.write_csv(Path(_home().name) / "without.csv", left, lines[0].split(","))
    folder = Path(_home().name) / "without"
    runs.prepare(str(path), folder, SETTINGS, items=items_file(), users=users_file())
    return folder


@cache
def trained(name: str, preset: str = "", *more: tuple[str, object]) -> Path:
    """A model on the corpus; `more` are options of it. Not to be changed by a test."""
    folder = Path(_home().name) / "-".join([name, preset, *map(str, dict(more))])
    options = {"name": name, **({"preset": preset} if preset else {}), **dict(more)}
    return runs.train(corpus(), folder, {**SETTINGS, "model": options})


@cache
def with_attributes() -> Path:
    """HG-GNN whose graph has the kinds of the items and the towns of the users."""
    settings: Nested = {
        **SETTINGS,
        "model": {"name": "hg_gnn", "preset": "paper", "dim": 8},
        "graph": {"attributes": ["item.kind", "user.town"]},
    }
    return runs.train(corpus(), Path(_home().name) / "attributes", settings)


@cache
def fitted(*, refit: bool = False, final: bool = False) -> Path:
    """``segue fit``: the corpus lies in the model, test is measured. Not to be changed by a test."""
    folder = Path(_home().name) / f"fitted-{refit}-{final}"
    settings: Nested = {**SETTINGS, "model": {"name": "hg_gnn", "preset": "paper", "dim": 8}}
    options = Options(refit=refit, final=final)
    return runs.fit(str(log()), folder, settings, options, items=items_file(), users=users_file())
