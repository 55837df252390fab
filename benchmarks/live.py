"""What a memory that is live is worth: the last part of a log, played against a model of the part before it.

    python benchmarks/live.py --users 300 --globo interactions.parquet --groceries --wikipedia interactions.csv.gz

For each log: users are drawn, a model is trained on the first part by time, and the rest is played through the path of
the server: with frozen counts, with live counts, with live weights that the events just before have taught, and all
that with models that are trained again on all that came before. Counting models are played in the same live way. Writes
docs/benchmarks/live.md, its JSON and its pictures.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import altair as alt
import duckdb
import numpy as np

import machine
from live_rivals import RIVALS, play_rival
from segue.data.preparation.prepare import prepare
from segue.data.sources import Source
from segue.evaluation.metrics import METRICS, averages
from segue.graph.half_lives import HalfLives
from segue.pipeline import fit as pipeline
from segue.pipeline.settings import settings_for_corpus, settings_for_log
from segue.pipeline.stages import Options
from segue.replay.events import Stream, of_log
from segue.replay.run import play
from segue.report import charts
from segue.server.engine import Engine
from segue.settings import Nested
from segue.settings.overrides import read_overrides
from segue.settings.units import DAY, HOUR

BINS = 24
TEACHING = 0.2
"""Share of the events before the played part, the last ones, that teach the live weights."""
METRIC = "HR@20"
LEAST_EVENTS = 20
"""Events that a user must have to be drawn."""


@dataclass(frozen=True)
class Log:
    """A log to play: its name and title, where it is, settings, the share of its events, the last ones, that is played,
    and the share of the users asked for that is drawn."""

    name: str
    title: str
    source: str
    settings: Nested
    share: float = 0.2
    users: float = 1.0


def draw(log: Log, users: int, seed: int, folder: Path) -> Path:
    """The rows of some users, as a Parquet log in the order of the source."""
    source, settings = settings_for_log(log.source, log.settings)
    connection = duckdb.connect()
    path = source.read(connection, folder, settings).events if isinstance(source, Source) else Path(log.source)
    reader = "read_csv_auto" if ".csv" in path.name else "read_parquet"
    out = folder / f"{log.name}.parquet"
    connection.execute(
        f"""
        COPY (
            SELECT * FROM {reader}('{path}') WHERE CAST(user_id AS VARCHAR) IN (
                SELECT user_id FROM (
                    SELECT CAST(user_id AS VARCHAR) AS user_id FROM {reader}('{path}')
                    GROUP BY ALL HAVING count(*) >= {LEAST_EVENTS})
                ORDER BY md5(concat('{seed}:', user_id)), user_id LIMIT {users})
        ) TO '{out}' (FORMAT parquet)"""
    )
    return out


def part(stream: Stream, first: int, end: int | None) -> Stream:
    """The events from time `first` on and before `end`; those of sessions in progress at `first` are taken too."""
    times = np.array([event.time for event in stream.events])
    inside = (times >= first) & (times < (end if end is not None else times.max() + 1))
    chosen = np.flatnonzero(inside)
    events = [stream.events[place] for place in chosen.tolist()]
    return replace(stream, events=events, measured=np.ones(len(events), dtype=np.bool_), place=np.arange(len(events)))


def train(log: Path, until: int, overrides: Nested, folder: Path) -> Path:
    """A model of the events before a time, all of them; the epoch is chosen on validation."""
    earlier = folder / f"until-{until}.parquet"
    source = f"SELECT * FROM '{log}'"
    connection = duckdb.connect()
    kind = connection.execute(f"SELECT typeof(timestamp) FROM '{log}' LIMIT 1").fetchone()
    assert kind is not None
    unit = "epoch_ms(CAST(timestamp AS TIMESTAMP))" if kind[0].startswith("TIMESTAMP") else "timestamp * 1000"
    connection.execute(f"COPY ({source} WHERE {unit} < {until}) TO '{earlier}' (FORMAT parquet)")
    corpus, model = folder / f"corpus-{until}", folder / f"model-{until}"
    read, settings = settings_for_log(str(earlier), {**overrides, "split": {**overrides.get("split", {}), **_WHOLE}})
    prepare(read, corpus, settings)
    return pipeline.train(corpus, model, settings_for_corpus(corpus, overrides), Options(refit=True))


_WHOLE = {"protocol": "global_time", "test": 0.002}
"""Nearly all of what came before trains: the last sessions stay out, since a part without any is refused."""


def measured(log: Log, users: int, seed: int, refit_days: float, chosen: Nested, folder: Path) -> dict[str, Any]:
    """Everything that is played on one log: label → ranks and times, and what was played."""
    drawn = draw(log, users, seed, folder)
    overrides: Nested = {**log.settings, **chosen}
    source, settings = settings_for_log(str(drawn), log.settings)
    stream = of_log(source, settings)
    times = np.array([event.time for event in stream.events])
    cut = int(np.quantile(times, 1 - log.share)) // HOUR * HOUR
    end = int(times.max()) + 1
    model = train(drawn, cut, overrides, folder)
    later = part(stream, cut, None)
    runs: dict[str, tuple[Any, Any]] = {}
    unknown = {}
    weights = taught(drawn, stream, int(np.quantile(times[times < cut], 1 - TEACHING)), cut, overrides, folder)
    kinds: dict[str, dict[str, Any]] = {
        "frozen": {}, "live": {"live": True}, "live, weights taught before": {"live": True, "live_weights": weights},
    }  # fmt: skip
    parts_played = max(1, round((end - cut) / DAY / refit_days))
    bounds = np.linspace(cut, end, parts_played + 1).astype(int).tolist()
    spans = {first: part(stream, first, last) for first, last in pairwise(bounds)}
    again = {first: train(drawn, first, overrides, folder) if first > cut else model for first in spans}
    for kind, how in kinds.items():
        found = play(Engine(model, **how), later)
        runs[f"segue, {kind}"], unknown[f"segue, {kind}"] = (found.rank, found.time), found.unknown
    for kind, how in kinds.items():
        parts = [play(Engine(again[first], **how), span) for first, span in spans.items()]
        label = f"segue, trained again every {(end - cut) / DAY / parts_played:.1f} days, {kind}"
        runs[label] = (np.concatenate([each.rank for each in parts]), np.concatenate([each.time for each in parts]))
        unknown[label] = sum(each.unknown for each in parts)
    engine = Engine(model)
    masked = not engine.facts["repeats_in_sessions"]
    drop = engine.settings.sessions.drop_repeats
    half_life = HalfLives.of(engine.recommender.artifact.history, None, None).recent
    before = part(stream, 0, cut)
    for name, make in RIVALS.items():
        rank, time, unknown[name] = play_rival(
            make(half_life), before, later, engine.gap, masked=masked, drop_repeats=drop
        )
        runs[name] = rank, time
    return {
        "title": log.title, "users": users, "trained_events": len(before.events), "played_events": len(later.events),
        "from": cut, "to": end, "masked": masked, "unknown": unknown,
        "refits": parts_played - 1, "weights": json.loads(weights.read_text(encoding="utf-8")),
        "metrics": {label: {"measured": len(rank), **averages(rank)} for label, (rank, _) in runs.items()},
        "over_time": {label: _bins(rank, time, cut, end) for label, (rank, time) in runs.items()},
    }  # fmt: skip


def taught(log: Path, stream: Stream, first: int, cut: int, overrides: Nested, folder: Path) -> Path:
    """Live weights that the last events before `cut` have taught, to a model of those before them."""
    engine = Engine(train(log, first // HOUR * HOUR, overrides, folder), live=True)
    play(engine, part(stream, first // HOUR * HOUR, cut), learn=True)
    assert engine.live is not None
    out = folder / "live-weights.json"
    out.write_text(json.dumps(engine.live.live.weights.as_dict()), encoding="utf-8")
    return out


def _bins(rank: Any, time: Any, first: int, end: int) -> list[float | None]:
    """The metric in equal parts of the time; None where a part has fewer than ten events."""
    number = np.minimum((time - first) * BINS // (end - first), BINS - 1)
    hits = METRICS[METRIC](rank)
    return [float(hits[number == bin].mean()) if (number == bin).sum() >= 10 else None for bin in range(BINS)]


def picture(result: dict[str, Any]) -> str:
    """The metric over the hours since training, as SVG."""
    width = (result["to"] - result["from"]) / BINS / HOUR
    values = [
        {"model": label, "hours": (number + 0.5) * width, "value": 100 * value}
        for label, bins in result["over_time"].items()
        for number, value in enumerate(bins)
        if value is not None
    ]
    colour = charts.colours(list(result["over_time"]))
    chart = (
        alt.Chart(alt.InlineData(values=values))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("hours:Q", title="hours since the end of training"),
            y=alt.Y("value:Q", title=f"{METRIC}, %", scale=alt.Scale(zero=False)),
            color=alt.Color("model:N", title=None, scale=alt.Scale(domain=list(colour), range=list(colour.values()))),
        )
    )
    return charts.svg(chart.properties(height=260).to_dict())


def page(results: dict[str, Any]) -> str:
    """The Markdown page."""
    shown = ("HR@5", "HR@10", "HR@20", "MRR@20", "NDCG@20")
    parts = [_INTRODUCTION]
    for name, result in results.items():
        days = (result["to"] - result["from"]) / DAY
        lines = [f"| model | {' | '.join(shown)} | measured | unknown |", "|---" * (len(shown) + 3) + "|"]
        for label, found in result["metrics"].items():
            cells = " | ".join(f"{100 * found[metric]:.2f}" for metric in shown)
            lines.append(f"| {label} | {cells} | {found['measured']:,} | {result['unknown'][label]:,} |")
        parts.append(
            f"## {result['title']}\n\n{result['users']:,} users were drawn; trained on {result['trained_events']:,}"
            f" events, then {result['played_events']:,} events of {days:.1f} days were played;"
            f" {result['weights']['events']:,} events before had taught the live weights. Made by"
            f" `{result['command']}` at"
            f" commit {result['commit']}.\n\n" + "\n".join(lines) + f"\n\n![{METRIC} over time](live-{name}.svg)"
        )
    return "\n\n".join(parts)


_INTRODUCTION = """# A live memory

Before each event of the played part a list is asked for, then the event is taken: prequential, in
the order of time, over all items that are known by then; an item that is unknown counts as a miss, ties count against
the model, % over events. "Frozen" and "live" are one model of preset `segue`, whose counts stand still or go on;
sessions that have ended are history for both. "Weights taught before": what a model of the first four fifths of the
training events, played live over the last fifth, has learned (`segue replay --live --learn`), given to the model of all
of them. "Trained again" is a model trained anew on all events before, so often; a session that goes on while models
change is asked about anew. The counting models take every event at once. Unknown: measured events whose item had not
been seen when it was asked for, or not by the model.
How events become live counts: [serving a model](../guide/serving.md#live-counts)."""


def main() -> None:
    """Play the logs that are named, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--globo", help="clicks of Globo.com, interactions.parquet")
    parser.add_argument("--groceries", action="store_true", help="Complete Journey, from its package")
    parser.add_argument("--wikipedia", help="one month of edits of Wikipedia, interactions.csv.gz")
    parser.add_argument("--users", type=int, default=300, help="how many are drawn; of households a tenth")
    parser.add_argument("--draw", type=int, default=0, help="the seed that users are drawn by")
    parser.add_argument("--refit-days", type=float, default=1, help="days between two trainings in the played part")
    parser.add_argument("--set", action="append", default=[], help="SECTION.KEY=VALUE for the models")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    # All that happened before is counted, as the rivals count it: rare users' sessions and rare items too.
    small: Nested = {
        "filters": {"min_item_support": 1, "rare_users": "train"},
        "sessions": {"min_length": 2, "missing": "gap"},
    }
    logs = []
    if chosen.globo:
        with_ids: Nested = {**small, "columns": {"session_id": "session_id"}}
        logs.append(Log("news", "News clicks (Globo.com)", chosen.globo, with_ids))
    if chosen.groceries:
        logs.append(Log("groceries", "Grocery baskets (Complete Journey)", "complete-journey:", small, 0.02, 0.1))
    if chosen.wikipedia:
        logs.append(Log("edits", "Edits of Wikipedia", chosen.wikipedia, small))
    overrides = read_overrides(None, chosen.set)
    named = [f"--{name} FILE" for name in ("globo", "wikipedia") if getattr(chosen, name)]
    own = "".join(f" --set {text}" for text in chosen.set)
    command = (
        f"python benchmarks/live.py --users {chosen.users} --draw {chosen.draw} --refit-days {chosen.refit_days:g} "
        + " ".join([*named, *(["--groceries"] if chosen.groceries else [])])
        + own
    )
    for log in logs:
        with tempfile.TemporaryDirectory(prefix="segue-live-") as folder:
            users = max(1, round(chosen.users * log.users))
            result = measured(log, users, chosen.draw, chosen.refit_days, overrides, Path(folder))
        result |= {"command": command, "commit": machine.commit()}
        (machine.RESULTS / f"live-{log.name}.svg").write_text(picture(result), encoding="utf-8")
        standing = machine.RESULTS / "live.json"
        earlier = json.loads(standing.read_text(encoding="utf-8"))["results"] if standing.exists() else {}
        machine.write("live", earlier | {log.name: result}, page(earlier | {log.name: result}))
        print(log.title, result["metrics"], flush=True)


if __name__ == "__main__":
    main()
