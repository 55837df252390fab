"""What a daily update is worth: a model that is left as it is, one that is updated, one that is trained anew every day.

    python benchmarks/updates.py globo interactions.parquet --users 300 --days 8 --until 2017-10-17
    python benchmarks/updates.py complete-journey complete-journey: --users 100 --days 4 --every 7

Users are drawn, a model is trained on what is older than the last days, and then every day is: learned, and the next
one is measured. What is finished is kept under --out, day by day, and not repeated.
Writes docs/benchmarks/updates-NAME.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import altair as alt
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import machine
from drawing import SHARED, draw, parser_of
from segue.artifact.model_folder import load_model, write_model
from segue.artifact.seal import seal
from segue.contract.model import SessionModel
from segue.data.corpus import Corpus, Part, load
from segue.evaluation.metrics import averages
from segue.pipeline import fit as pipeline
from segue.pipeline.settings import settings_for_corpus
from segue.pipeline.stages import Options, played, selected
from segue.report import charts
from segue.settings import Nested
from segue.settings.units import DAY
from segue.updating.comparison import ranks_of, targets
from segue.updating.growth import grow
from segue.updating.source import Source
from segue.updating.update import update

KINDS = ("left as it is", "updated", "trained anew")
METRICS = ("HR@10", "MRR@10")


def events_of(corpus: Path) -> Path:
    """All events of a prepared corpus, with ids and times in ms, as a log beside it."""
    whole, out = load(corpus), corpus.with_name("events.parquet")
    found = whole.sessions
    owner = np.repeat(np.arange(len(found)), found.lengths)
    rows = pa.table({
        "user_id": whole.users.column("user_id").take(pa.array(found.user[owner])),
        "item_id": whole.items.column("item_id").take(pa.array(found.items)),
        "session_id": pa.array(found.number[owner]).cast(pa.string()),
        "timestamp": found.times,
    })  # fmt: skip
    pq.write_table(rows.sort_by("timestamp"), out)
    return out


def between(events: Path, first: int, end: int, out: Path) -> Path:
    """The sessions that end from `first` on and before `end` (epoch ms), as a log."""
    chosen = f"""
        SELECT session_id FROM '{events}' GROUP BY ALL HAVING max(timestamp) >= {first} AND max(timestamp) < {end}
    """
    duckdb.execute(
        f"COPY (SELECT * FROM '{events}' SEMI JOIN ({chosen}) USING (session_id)) TO '{out}' (FORMAT parquet)"
    )
    return out


def grown(corpus: Path, log: Path, out: Path, newest: int, *, apart: bool) -> Path:
    """A corpus grown by a log; the sessions of the newest time may be set apart as test."""
    shutil.rmtree(out, ignore_errors=True)
    (out / "scratch").mkdir(parents=True)
    place = out / "corpus"
    grow(
        load(corpus),
        corpus,
        Source(str(log), newest=newest),
        out / "scratch",
        out=None if apart else place,
        apart=place if apart else None,
    )
    return out / "corpus"


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What came of it, and its processor seconds."""
    began = time.process_time()
    return work(), time.process_time() - began


def measured(model: SessionModel, corpus: Corpus) -> Mapping[str, float]:
    """Metrics on the test part, an unknown target being a miss."""
    fitted = corpus.with_train([Part.TRAIN, Part.VALIDATION])
    rank, _ = ranks_of(model, fitted, mask_session=not fitted.repeats_in_sessions, history="frozen")
    return averages(rank)


def anew(corpus: Path, settings: Nested, out: Path) -> None:
    """A model trained from the beginning on a whole corpus, for the passes that are best on validation."""
    chosen = settings_for_corpus(corpus, settings)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    whole = load(corpus)
    _, plan = selected(load(corpus, (Part.TRAIN, Part.VALIDATION)), out, chosen)
    everything = whole.with_train([Part.TRAIN, Part.VALIDATION])
    model = played("refit", everything, out, chosen, plan)
    facts = {"corpus": str(corpus.resolve()), "trained_on": ["train", "validation"]}
    write_model(out, model, everything, chosen, facts)
    seal(out)


def day(number: int, events: Path, bounds: list[int], folder: Path, settings: Nested) -> dict[str, Any]:
    """Learn one day and measure the next one."""
    first, here = bounds[0], bounds[number + 1]
    span = bounds[1] - bounds[0]
    before, now = folder / f"model-{number}", folder / f"model-{number + 1}"
    news = between(events, first, here, folder / "news.parquet")
    shutil.rmtree(now, ignore_errors=True)
    found, updating = timed(lambda: update(before, Source(str(news)), now))
    if found.verdict != "promoted":
        shutil.copytree(before, now)
    today = grown(folder / "base", news, folder / "today", span, apart=False)
    _, training = timed(lambda: anew(today, settings, folder / "anew"))
    later = between(events, first, bounds[number + 2], folder / "later.parquet")
    metrics, sizes = {}, {}
    for kind, model, own in (
        (KINDS[0], folder / "model-0", folder / "base"),
        (KINDS[1], now, now / "corpus" if found.verdict == "promoted" or number else folder / "base"),
        (KINDS[2], folder / "anew", today),
    ):
        tomorrow = load(grown(own, later, folder / "tomorrow", span, apart=True))
        metrics[kind] = measured(load_model(model).model, tomorrow)
        sizes[kind] = len(targets(tomorrow.select(Part.TEST)))
    seconds = {KINDS[0]: 0.0, KINDS[1]: updating, KINDS[2]: training}
    return {
        "verdict": found.verdict,
        "metrics": metrics,
        "events": sizes,
        "seconds": seconds,
        "read": found.read.as_dict(),
    }


def picture(days: list[dict[str, Any]]) -> str:
    """HR@10 of each kind by day, as SVG."""
    values = [
        {"model": kind, "day": number + 1, "value": 100 * found["metrics"][kind]["HR@10"]}
        for number, found in enumerate(days)
        for kind in KINDS
    ]
    colour = charts.colours(list(KINDS))
    scale = alt.Scale(domain=list(colour), range=list(colour.values()))
    chart = (
        alt.Chart(alt.InlineData(values=values))
        .mark_line(strokeWidth=2, point=True)
        .encode(
            x=alt.X("day:O", title="time spans since the first training"),
            y=alt.Y("value:Q", title="HR@10 on the next span, %", scale=alt.Scale(zero=False)),
            color=alt.Color("model:N", title=None, scale=scale),
        )
    )
    return charts.svg(chart.properties(height=260).to_dict())


def page(name: str, drawn: str, command: str, every: float, days: list[dict[str, Any]]) -> str:
    """The Markdown page."""
    head = " | ".join(f"{metric}, {kind}" for metric in METRICS for kind in KINDS)
    lines = [
        f"| span | events | {head} | verdict | s, updated | s, trained anew |",
        "|---" * (3 + 2 * len(KINDS) + 2) + "|",
    ]
    for number, found in enumerate(days):
        cells = " | ".join(f"{100 * found['metrics'][kind][metric]:.2f}" for metric in METRICS for kind in KINDS)
        times = " | ".join(f"{found['seconds'][kind]:.1f}" for kind in KINDS[1:])
        lines.append(f"| {number + 1} | {found['events'][KINDS[1]]:,} | {cells} | {found['verdict']} | {times} |")
    means = " | ".join(
        f"{100 * np.mean([found['metrics'][kind][metric] for found in days]):.2f}"
        for metric in METRICS
        for kind in KINDS
    )
    total = " | ".join(f"{sum(found['seconds'][kind] for found in days):.1f}" for kind in KINDS[1:])
    lines.append(f"| all | {sum(found['events'][KINDS[1]] for found in days):,} | {means} | | {total} |")
    table = "\n".join(lines)
    return f"""# {name}: every day again

{drawn} Made by `{command}`.

A model of what is older than {len(days) + 1} spans of {every:g} days; then each span is learned and the next one is
measured: by the first model *left as it is*, by `segue update` of the model of the span before (*updated*), and by a
model *trained anew* on everything so far. All look back at the same sessions, an item that a model does not know is a
miss. HR@10 and MRR@10 in % over events, processor seconds.

{table}

![HR@10 by span](updates-{name}.svg)
"""


def main() -> None:
    """Play the days, and write the page."""
    parser = parser_of(__doc__, "name of the log; the page is updates-NAME in docs/benchmarks")
    parser.add_argument("--days", type=int, default=8, help="spans that are learned")
    parser.add_argument("--every", type=float, default=1, help="days of a span")
    parser.add_argument("--until", type=datetime.fromisoformat, help="where the last span ends, UTC; else with the log")
    chosen = parser.parse_args()
    drawn = draw(chosen, f"updates-{chosen.name}", (*SHARED, "model"))
    folder, span = drawn.folder, int(chosen.every * DAY)
    events = events_of(drawn.corpus)
    if chosen.until is None:
        end = pc.max(pq.read_table(events, columns=["timestamp"]).column(0)).as_py() + 1
    else:
        end = int(chosen.until.replace(tzinfo=UTC).timestamp() * 1000)
    bounds = [end - span * left for left in range(chosen.days + 1, -1, -1)]
    shared: Nested = {
        "columns": {"session_id": "session_id"},
        "filters": {"min_item_support": 1, "min_user_sessions": 1},
        "sessions": {"min_length": 2},
        "split": {"protocol": "global_time", "test": 0.01},
    }
    base = folder / "base"
    if not base.exists():
        from segue.data.preparation.prepare import prepare
        from segue.pipeline.settings import settings_for_log

        source, settings = settings_for_log(str(between(events, 0, bounds[0], folder / "first.parquet")), shared)
        prepare(source, base, settings)
    if not (folder / "model-0").exists():
        pipeline.train(base, folder / "model-0", settings_for_corpus(base, drawn.shared), Options(refit=True))
    kept = folder / "days.json"
    days = json.loads(kept.read_text()) if kept.exists() else []
    for number in range(len(days), chosen.days):
        days.append(day(number, events, bounds, folder, drawn.shared))
        kept.write_text(json.dumps(days))
    command = f"benchmarks/updates.py {chosen.name} LOG{drawn.arguments} --days {chosen.days} --every {chosen.every:g}"
    command += f" --until {chosen.until:%Y-%m-%d}" if chosen.until else ""
    text = page(chosen.name, drawn.words, command, chosen.every, days)
    (machine.RESULTS / f"updates-{chosen.name}.svg").write_text(picture(days), encoding="utf-8")
    machine.write(f"updates-{chosen.name}", {"days": days}, text, measured_on=drawn.began_on)
    print(text)


if __name__ == "__main__":
    main()
