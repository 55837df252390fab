"""Models trained until their learning curves are flat, beside the rows of an equal budget.

    python benchmarks/converged.py globo interactions.parquet --users 4000
    python benchmarks/converged.py complete-journey complete-journey: --users 1000

Each model is searched over the learning rates of the paper's grid (section 5.1.4), everything else by its preset, with
no limit of minutes; the best rate on validation is fitted on train + validation with every seed and measured on test.
The corpus is the one of benchmarks/comparison.py with the same name, log, users and --out, and its row of an equal
budget stands beside the converged one. This takes hours. What is finished is kept under --out and not repeated: Ctrl-C
and the same command again go on where it stopped, and `nohup ... &` runs it in the background.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import machine
from drawing import draw, parser_of
from segue import models
from segue.compare import named_models, standing
from segue.compare.entrant import Entrant, fit_seeds, search, seeds_of
from segue.compare.note import folder_name
from segue.compare.row import EntrantRow, read_row
from segue.compare.table import CURVES
from segue.errors import ArtifactError
from segue.pipeline.settings import settings_for_corpus
from segue.report import markdown
from segue.report.numbers import percent, setting
from segue.report.table import MISSING, Cell, Table
from segue.settings import Nested, merged
from segue.settings.overrides import dotted_keys
from segue.tuning import Budget

DEFAULT = ("hg_gnn/paper",)
RATES = 4
"""Learning rates of the paper's grid: 1e-4 to 1e-1."""
METRICS = ("HR@5", "HR@10", "MRR@5", "MRR@10")
_RATE = "training.learning_rate"
_COLUMNS = ("trained", *METRICS, "validation HR@10", "learning rate", "learning curve", "hours")


def converged(corpus: Path, folder: Path, label: str, own: Nested, seeds: int) -> EntrantRow:
    """Search the rate of one model without a limit of time, fit it with every seed, and read the row."""
    settings = settings_for_corpus(corpus, own)
    # Whatever else the grid varies stays at the preset, as if the user had chosen it.
    fixed = dotted_keys(own) | {"model.dim"} | _layers(settings.model.name)
    entrant = Entrant(label, settings, frozenset(fixed))
    choice = search(corpus, folder / "tuning", entrant, Budget(RATES, None, "paper-grid"))
    runs = list(fit_seeds(corpus, folder, choice, seeds_of(settings.model.name, range(seeds))))
    return read_row(folder, runs)


def table(converged_rows: Mapping[str, EntrantRow], equal: Mapping[str, EntrantRow]) -> Table:
    """Two rows for each model: trained to its end, and with the budget that all models of the comparison had."""
    rows: dict[str, list[Cell]] = {}
    for label, row in converged_rows.items():
        rows[label] = _cells("to its end", row)
        if label in equal:
            rows[f"{label}, equal budget"] = _cells("equal budget", equal[label])
    return Table(("model", *_COLUMNS), rows)


def equal_budget(folder: Path) -> Mapping[str, EntrantRow]:
    """The rows of the comparison in this folder; none where there was no comparison."""
    try:
        return standing(folder / "comparison").rows
    except ArtifactError:
        return {}


def _layers(model: str) -> set[str]:
    depth = models.load(model).depth
    return {f"model.{depth}"} if depth else set()


def _cells(how: str, row: EntrantRow) -> list[Cell]:
    metrics = [percent(row.metrics[name].mean, row.metrics[name].sd) for name in METRICS]
    rate = row.entry.tuned.get(_RATE)
    hours = (row.entry.seconds + sum(cost.training for cost in row.costs)) / 3600
    texts = [
        how,
        *metrics,
        percent(row.entry.validation),
        MISSING if rate is None else setting(rate),
        CURVES[row.flattened],
        f"{hours:.2f}",
    ]
    return [Cell(text) for text in texts]


def as_results(rows: Mapping[str, EntrantRow]) -> dict[str, Any]:
    """The rows in their JSON shape, without the paths of this machine."""
    return {label: {key: value for key, value in row.as_dict().items() if key != "runs"} for label, row in rows.items()}


def page(name: str, drawn: str, command: str, shown: Table) -> str:
    """The Markdown page."""
    return f"""# {name}: trained to the end

{drawn} Made by `{command}`.

*To its end*: the best of the paper's {RATES} learning rates on validation, no limit of minutes. *Equal budget*: the
row of `benchmarks/comparison.py`, every model with the same minutes. Means in % over seeds, ± standard deviation.

{markdown.table(shown)}
"""


def run(corpus: Path, folder: Path, names: Iterable[str], shared: Nested, seeds: int) -> dict[str, EntrantRow]:
    """Every model in turn, each in a folder of its own."""
    rows = {}
    for label, own in named_models(list(names)).items():
        rows[label] = converged(corpus, folder / "converged" / folder_name(label), label, merged(shared, own), seeds)
    return rows


def main() -> None:
    """Prepare or take up the corpus, train the models to their end, and write the page."""
    parser = parser_of(__doc__, "name of the comparison; the page is NAME-converged in docs/benchmarks")
    parser.add_argument("--models", nargs="+", default=list(DEFAULT))
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    drawn = draw(chosen, chosen.name)
    rows = run(drawn.corpus, drawn.folder, chosen.models, drawn.shared, chosen.seeds)
    equal = equal_budget(drawn.folder)
    models = "" if chosen.models == list(DEFAULT) else " --models " + " ".join(chosen.models)
    command = f"benchmarks/converged.py {chosen.name} LOG{drawn.arguments} --seeds {chosen.seeds}{models}"
    text = page(chosen.name, drawn.words, command, table(rows, equal))
    results = {"converged": as_results(rows), "equal budget": as_results({k: equal[k] for k in rows if k in equal})}
    machine.write(f"{chosen.name}-converged", results, text, measured_on=drawn.began_on)
    print(text)


if __name__ == "__main__":
    main()
