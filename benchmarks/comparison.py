"""A full comparison on a real log by ``segue compare``, kept in docs/benchmarks.

    python benchmarks/comparison.py globo interactions.parquet --users 4000 --minutes 10
    python benchmarks/comparison.py complete-journey complete-journey: --minutes 10

Every trained model, in the preset of its authors where it has one, and every counting method. What is finished is kept
under --out and not repeated, so that an interrupted comparison goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import duckdb

import machine
from segue.compare import ComparisonPlan, Summary, compare, markdown, named_models, standing, write_page
from segue.data.corpus import load
from segue.data.preparation.prepare import prepare
from segue.data.preparation.subsample import subsample_users
from segue.data.sources import Source
from segue.data.stats import table1
from segue.pipeline.settings import settings_for_log
from segue.settings import Nested
from segue.settings.overrides import read_overrides

# fmt: off
TRAINED = [
    "hg_gnn/segue", "hg_gnn/paper", "hg_gnn/memory", "gru4rec/full_softmax", "gru4rec/official_bpr_max",
    "narm/official", "sr_gnn/official", "lessr/official", "gce_gnn/official", "hrnn/full_softmax", "a_pgnn/official",
    "sasrec/session", "sasrec/history", "reminder/gru4rec_r",
]
COUNTING = [
    "item_knn/session", "item_knn/history", "item_knn/bm25", "ease/session", "ease/history", "slis/session",
    "slis/history", "slist/session", "slist/slit", "slist/history", "markov/first_order", "markov/sequential_rules",
    "popularity/global", "popularity/recent", "popularity/session", "popularity/repeat_last", "popularity/personal",
    "popularity/mixed", "session_knn/v_sknn", "session_knn/stan", "session_knn/vstan", "session_knn/vsknn_ebr",
    "session_knn/vstan_ebr",
]
# fmt: on


def drawn_corpus(log: str, users: int | None, seed: int, folder: Path, overrides: Nested) -> Path:
    """Prepare the log, or only the given number of the users that survive its filters, drawn by seed."""
    whole = folder / "corpus"
    if not whole.exists():
        source, settings = settings_for_log(log, overrides)
        prepare(source, whole, settings)
    if users is None:
        return whole
    drawn = folder / f"corpus-{users}-{seed}"
    if not drawn.exists():
        ids = [user for user in load(whole).user_ids if user is not None]
        events = _events_of(log, subsample_users(ids, users, seed), folder, overrides)
        _, settings = settings_for_log(log, overrides)
        prepare(events, drawn, settings)
    return drawn


def _events_of(log: str, ids: list[str], folder: Path, overrides: Nested) -> Path:
    """The rows of the drawn users, as a Parquet log."""
    connection = duckdb.connect()
    source, settings = settings_for_log(log, overrides)
    path = source.read(connection, folder, settings).events if isinstance(source, Source) else Path(log)
    user = overrides.get("columns", {}).get("user_id", "user_id")
    out = folder / "drawn.parquet"
    connection.execute("CREATE TABLE chosen AS SELECT unnest(?) AS id", [ids])
    connection.execute(
        f"COPY (SELECT * FROM '{path}' WHERE CAST(\"{user}\" AS VARCHAR) IN (SELECT id FROM chosen))"
        f" TO '{out}' (FORMAT parquet)"
    )
    return out


def facts_of_first_start(folder: Path) -> dict[str, Any]:
    """Date, commit and machine that the comparison was begun with; its page may be written much later."""
    path = folder / "machine.json"
    if not path.exists():
        path.write_text(json.dumps(machine.facts()), encoding="utf-8")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def page(title: str, drawn: str, command: str, summary: Summary, facts: dict[str, Any]) -> str:
    """The Markdown page: the table of ``segue compare``, and what the corpus is."""
    rows = "\n".join(
        f"| {label} | {value:,.2f} |" if isinstance(value, float) else f"| {label} | {value:,} |"
        for label, value in facts.items()
    )
    return f"""# {title}

{drawn} Made by `{command}`.

{markdown(summary)}
| corpus | |
|---|---|
{rows}
"""


def without_paths(summary: Summary) -> dict[str, Any]:
    """The summary without the paths of this machine."""
    models = {
        label: {key: value for key, value in row.as_dict().items() if key != "runs"}
        for label, row in summary.rows.items()
    }
    return {**summary.as_dict(), "models": models}


def main() -> None:
    """Sample users, compare models, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="name of the page in docs/benchmarks")
    parser.add_argument("log", help="a log that segue prepare reads")
    parser.add_argument("--title")
    parser.add_argument("--users", type=int)
    parser.add_argument("--draw", type=int, default=0, help="the seed that users are drawn by")
    parser.add_argument("--models", nargs="+", default=[*TRAINED, *COUNTING])
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes to tune each model")
    parser.add_argument("--trials", type=int, default=10, help="most trials to tune each model")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--show", action="store_true", help="write the page of finished models; run nothing")
    parser.add_argument("--set", action="append", default=[], help="SECTION.KEY=VALUE for every model and the corpus")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    folder: Path = chosen.out / chosen.name
    folder.mkdir(parents=True, exist_ok=True)
    began_on = facts_of_first_start(folder)
    overrides = read_overrides(None, chosen.set)
    corpus = drawn_corpus(chosen.log, chosen.users, chosen.draw, folder, overrides)
    shared = {section: values for section, values in overrides.items() if section in ("training", "evaluation")}
    plan = ComparisonPlan(chosen.minutes, chosen.trials, seeds=tuple(range(chosen.seeds)), overrides=shared)
    out = folder / "comparison"
    summary = standing(out) if chosen.show else compare(corpus, out, named_models(chosen.models), plan)
    write_page(out / "report.html", summary)
    users = f"--users {chosen.users} --draw {chosen.draw} " if chosen.users else ""
    drawn = f"{chosen.users:,} users drawn by seed {chosen.draw}." if chosen.users else "All users."
    models = "" if chosen.models == parser.get_default("models") else " --models " + " ".join(chosen.models)
    common, own = summary.plan, "".join(f" --set {text}" for text in chosen.set)
    command = (
        f"benchmarks/comparison.py {chosen.name} LOG {users}--minutes {common['minutes']:g} --trials {common['trials']}"
        f" --seeds {chosen.seeds}{own}{models}"
    )
    facts = table1(load(corpus))
    text = page(chosen.title or chosen.name, drawn, command, summary, facts)
    machine.write(chosen.name, {"comparison": without_paths(summary), "corpus": facts}, text, measured_on=began_on)
    print(text)


if __name__ == "__main__":
    main()
