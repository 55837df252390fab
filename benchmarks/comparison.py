"""An honest table on one log: HG-GNN `segue` and `paper` beside the counting methods, all refitted, same test events.

    python benchmarks/comparison.py globo interactions.parquet --users 5000
    python benchmarks/comparison.py complete-journey complete-journey: --users 500

Finished models are kept under --out and not trained again, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import duckdb

import machine
from segue.compare import COUNTING, NETWORKS, compare
from segue.data import sources
from segue.data.corpus import load
from segue.data.draw import drawn_users
from segue.data.prepare import prepare
from segue.data.stats import table1
from segue.overrides import read_overrides
from segue.pipeline import prepare_log
from segue.report import markdown_table
from segue.settings import Nested, compose


def drawn_corpus(log: str, users: int | None, seed: int, folder: Path, overrides: Nested) -> Path:
    """Prepare the log, or only the given number of the users that survive its filters, drawn by seed."""
    whole = folder / "corpus"
    if not whole.exists():
        prepare_log(log, whole, overrides)
    if users is None:
        return whole
    drawn = folder / f"corpus-{users}-{seed}"
    if not drawn.exists():
        ids = [user for user in load(whole).user_ids if user is not None]
        events = _events_of(log, drawn_users(ids, users, seed), folder, overrides)
        source = sources.find(log)
        prepare(events, drawn, compose(source.settings if source else {}, overrides))
    return drawn


def _events_of(log: str, ids: list[str], folder: Path, overrides: Nested) -> Path:
    """The rows of the drawn users, as a Parquet log."""
    connection = duckdb.connect()
    source = sources.find(log)
    path = source.read(connection, folder, compose(source.settings, overrides)).events if source else Path(log)
    user = overrides.get("columns", {}).get("user_id", "user_id")
    out = folder / "drawn.parquet"
    connection.execute("CREATE TABLE chosen AS SELECT unnest(?) AS id", [ids])
    connection.execute(
        f"COPY (SELECT * FROM '{path}' WHERE CAST(\"{user}\" AS VARCHAR) IN (SELECT id FROM chosen))"
        f" TO '{out}' (FORMAT parquet)"
    )
    return out


def page(
    name: str, users: int | None, chosen: list[str], results: dict[str, dict[str, Any]], facts: dict[str, Any]
) -> str:
    """The Markdown page."""
    first = next(iter(results.values()))
    drawn = f"{users:,} users drawn by seed from those that survive the filters" if users else "All users"
    other = f"Other than the defaults: {', '.join(chosen)}." if chosen else "Default settings."
    rows = "\n".join(
        f"| {label} | {value:,.2f} |" if isinstance(value, float) else f"| {label} | {value:,} |"
        for label, value in facts.items()
    )
    facts_of = {label: run["training"] for label, run in results.items() if run["training"]["epochs"]}
    trained = "\n".join(
        f"| {label} | {run['epochs']} | {run['best_epoch']} | {run['seconds']:,.0f} |"
        for label, run in facts_of.items()
    )
    candidates = "no candidates, for every model alike" if first["masked"] else "candidates like all others"
    return f"""# {name}

{drawn}; split {first["protocol"]}, history {first["history"]}; items of the running session are
{candidates}. The epoch was chosen on validation; then every row was fitted on train + validation. One seed;
no model was tuned for this data set. {other}
{first["events"]:,} test events of {first["sessions"]:,} sessions, full ranking, ties counted against the model; %.

{markdown_table(results)}

| trained | epochs played | best epoch | seconds of training steps |
|---|---|---|---|
{trained}

| corpus | |
|---|---|
{rows}
"""


def main() -> None:
    """Parse, draw, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the page in docs/benchmarks")
    parser.add_argument("log", help="as for segue prepare")
    parser.add_argument("--users", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--set", action="append", default=[], help="SECTION.KEY=VALUE for every model and the corpus")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    folder: Path = chosen.out / chosen.name
    folder.mkdir(parents=True, exist_ok=True)
    overrides = read_overrides(None, chosen.set)
    corpus = drawn_corpus(chosen.log, chosen.users, chosen.seed, folder, overrides)
    own = {section: values for section, values in overrides.items() if section in ("training", "evaluation")}
    runs = {label: {**own, **run} for label, run in {**NETWORKS, **COUNTING}.items()}
    results = compare(corpus, runs, folder / "models")
    facts = table1(load(corpus))
    text = page(chosen.name, chosen.users, chosen.set, results, facts)
    machine.write(chosen.name, {"results": results, "corpus": facts}, text)
    print(text)


if __name__ == "__main__":
    main()
