"""Today's preset `segue` beside the same preset of an earlier commit: accuracy on the same users, and cost.

    git worktree add ../earlier 6d46a09
    python benchmarks/predecessor.py predecessor-news interactions.parquet --earlier ../earlier --users 2000

Users of the log are drawn once. Then the command line of either tree prepares the drawn log, trains on its train part,
refits on train + validation and measures test, with the defaults of its commit; the trees take turns with every seed.
Processor time is that of the whole command; evaluation is then repeated on its own. Both have to ask the same events.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

import machine
from drawing import draw, parser_of
from segue.data.arrays import FloatArray, IntArray
from segue.evaluation.metrics import METRICS
from segue.evaluation.significance import Difference, UserMeans, differences, user_means
from segue.report import markdown
from segue.report.numbers import percent
from segue.report.table import Cell, Table

SHOWN = ("HR@5", "HR@10", "HR@20", "MRR@10", "NDCG@10")
_COSTS = ("fit --refit, s", "evaluate, s")
_PROGRAM = "import sys; sys.argv[0] = 'segue'; from segue.{module} import main; main()"


@dataclass(frozen=True)
class Run:
    """One seed of one tree: user and rank of each test event, the hash of the events, processor seconds."""

    user: IntArray
    rank: IntArray
    events: str
    seconds: tuple[float, float]


def segue(tree: Path, *arguments: str) -> tuple[dict[str, Any], float]:
    """Run the command line of a tree; returns its JSON and its processor seconds."""
    module = "__main__" if (tree / "src/segue/__main__.py").exists() else "entry"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(module=module), *arguments, "--json"],
        env=os.environ | {"PYTHONPATH": str(tree.resolve() / "src"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return json.loads(done.stdout), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(tree: Path, log: Path, model: Path, settings: Sequence[str]) -> Run:
    """Fit and evaluate preset `segue` of a tree; what is finished is kept and not repeated."""
    noted = model.with_suffix(".json")
    if not noted.exists():
        options = [word for text in settings for word in ("--set", text)]
        fitted, fit = segue(tree, "fit", str(log), "--out", str(model), "--refit", "--overwrite", *options)
        _, evaluate = segue(tree, "evaluate", str(model))
        note = {"events": fitted["evaluation"]["event_hash"], "seconds": [fit, evaluate]}
        noted.write_text(json.dumps(note), encoding="utf-8")
    note = json.loads(noted.read_text(encoding="utf-8"))
    ranks = pq.read_table(model / "evaluation" / "test.ranks.parquet", columns=["user", "rank"])
    user = np.unique(ranks.column("user").to_numpy(), return_inverse=True)[1]
    return Run(user, ranks.column("rank").to_numpy(), note["events"], tuple(note["seconds"]))


def means(runs: Sequence[Run]) -> UserMeans:
    """The metrics of each user, averaged over seeds."""
    return user_means([run.rank for run in runs], runs[0].user)


def table(earlier: Sequence[Run], today: Sequence[Run], commit: str) -> tuple[Table, dict[str, Difference]]:
    """Both trees, their difference over events with its interval over users, and their cost."""
    rows: dict[str, list[Cell]] = {}
    spent: list[FloatArray] = []
    for label, runs in ((f"segue at {commit}", earlier), ("segue today", today)):
        of_user, names = means(runs), list(METRICS)
        by_event = of_user.events @ of_user.means / of_user.events.sum()
        spent.append(np.mean([run.seconds for run in runs], axis=0))
        accuracy = [percent(float(by_event[names.index(name)])) for name in SHOWN]
        rows[label] = [Cell(text) for text in (*accuracy, *(f"{seconds:.1f}" for seconds in spent[-1]))]
    apart = differences(means(today), {"earlier": means(earlier)})["earlier"]
    ratios = [f"× {ratio:.2f}" for ratio in spent[1] / spent[0]]
    rows["today − then, points"] = [Cell(text) for text in (*(_points(apart[name]) for name in SHOWN), *ratios)]
    return Table(("", *SHOWN, *_COSTS), rows), apart


def _points(difference: Difference) -> str:
    low, high = difference.by_event_interval
    return f"{100 * difference.by_event:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"


def main() -> None:
    """Draw users, let both trees take turns with every seed, and write the page."""
    parser = parser_of(__doc__, "name of the page in docs/benchmarks")
    parser.add_argument("--earlier", type=Path, required=True, help="a checkout of the earlier commit")
    parser.add_argument("--title")
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    drawn = draw(chosen, chosen.name)
    log = drawn.folder / "drawn.parquet" if chosen.users else Path(chosen.log)
    commit = subprocess.check_output(["git", "-C", chosen.earlier, "rev-parse", "--short", "HEAD"], text=True).strip()
    trees = {"earlier": chosen.earlier, "today": machine.ROOT}
    runs: dict[str, list[Run]] = {"earlier": [], "today": []}
    for seed in range(chosen.seeds):
        settings = ["model.preset=segue", "training.threads=1", f"training.seed={seed}", *chosen.set]
        for name, tree in trees.items():
            runs[name].append(measure(tree, log, drawn.folder / f"{name}-{seed}", settings))
    asked = {run.events for each in runs.values() for run in each}
    if len(asked) > 1:
        raise SystemExit("the two commits ask different test events: their figures cannot be compared")
    shown, apart = table(runs["earlier"], runs["today"], commit)
    events, users = len(runs["today"][0].rank), len(means(runs["today"]).events)
    command = f"{chosen.name} LOG --earlier CHECKOUT{drawn.arguments} --seeds {chosen.seeds}"
    text = f"""# {chosen.title or chosen.name}

{drawn.words} Made by `benchmarks/predecessor.py {command}`.

{events:,} test events of {users:,} users, the same for both commits. Each trained with the defaults that preset `segue`
had at its time, on train + validation; % over events, mean of {chosen.seeds} seeds; the intervals are of 95 %, whole
users drawn with replacement. The last columns are processor seconds of the whole command, on one thread.

{markdown.table(shown)}
"""
    differences_of = {name: vars(difference) for name, difference in apart.items()}
    machine.write(chosen.name, {"earlier": commit, "differences": differences_of}, text, measured_on=drawn.began_on)
    print(text)


if __name__ == "__main__":
    main()
