"""A full comparison on a real log by ``segue compare``, kept in docs/benchmarks.

    python benchmarks/comparison.py globo interactions.parquet --users 4000 --minutes 10
    python benchmarks/comparison.py complete-journey complete-journey: --minutes 10

Every trained model, in the preset of its authors where it has one, and every counting method. What is finished is kept
under --out and not repeated, so that an interrupted comparison goes on where it stopped.
"""

from __future__ import annotations

from typing import Any

import machine
from drawing import draw, parser_of
from segue.compare import ComparisonPlan, Summary, compare, markdown, named_models, standing, write_page
from segue.data.corpus import load
from segue.data.stats import table1

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
    parser = parser_of(__doc__, "name of the page in docs/benchmarks")
    parser.add_argument("--title")
    parser.add_argument("--models", nargs="+", default=[*TRAINED, *COUNTING])
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes to tune each model")
    parser.add_argument("--trials", type=int, default=10, help="most trials to tune each model")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--show", action="store_true", help="write the page of finished models; run nothing")
    chosen = parser.parse_args()
    drawn = draw(chosen, chosen.name)
    plan = ComparisonPlan(chosen.minutes, chosen.trials, seeds=tuple(range(chosen.seeds)), overrides=drawn.shared)
    out = drawn.folder / "comparison"
    summary = standing(out) if chosen.show else compare(drawn.corpus, out, named_models(chosen.models), plan)
    write_page(out / "report.html", summary)
    models = "" if chosen.models == parser.get_default("models") else " --models " + " ".join(chosen.models)
    common = summary.plan
    command = (
        f"benchmarks/comparison.py {chosen.name} LOG{drawn.arguments} --minutes {common['minutes']:g}"
        f" --trials {common['trials']} --seeds {chosen.seeds}{models}"
    )
    facts = table1(load(drawn.corpus))
    text = page(chosen.title or chosen.name, drawn.words, command, summary, facts)
    machine.write(
        chosen.name, {"comparison": without_paths(summary), "corpus": facts}, text, measured_on=drawn.began_on
    )
    print(text)


if __name__ == "__main__":
    main()
