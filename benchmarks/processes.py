"""Several processes on this machine: events per second of training, and memory with whole and with split item vectors.

    python benchmarks/processes.py [--steps 10]

Processes find each other as those of torchrun do. Each computes with one thread, so that two of them have twice the
threads of one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import machine
from generate import generate
from segue.settings import Nested
from segue.system.limits import cores
from speed import Enough, table

MIB = 2**20
WARM_UP = 2
ITEMS, SESSIONS, USERS = 300_000, 60_000, 1_000
TRAINED: dict[str, Nested] = {
    "hg_gnn/paper": {"model": {"name": "hg_gnn", "preset": "paper", "dim": 64}},
    "sasrec/session": {"model": {"name": "sasrec", "preset": "session", "dim": 64}},
}
LARGE: Nested = {"model": {"name": "sasrec", "preset": "session", "dim": 256}}


def work(corpus_folder: Path, overrides: Nested, steps: int) -> dict[str, Any]:
    """Train some steps with the processes that this one was started with; what this one has seen."""
    import torch

    from segue import models
    from segue.contract.encoder import SessionEncoder
    from segue.data.corpus import Part, load
    from segue.distributed.launch import joined
    from segue.training.state import Progress
    from segue.training.trainer import Trainer

    torch.set_num_threads(1)
    settings = models.with_preset(overrides)
    corpus = load(corpus_folder, (Part.TRAIN, Part.VALIDATION))
    seen: list[Progress] = []

    def watch(at: Progress) -> None:
        seen.append(at)
        if len(seen) == steps + WARM_UP:
            raise Enough

    with joined() as processes, tempfile.TemporaryDirectory() as folder:
        before = machine.peak_rss_bytes()
        torch.manual_seed(settings.training.seed)
        model = models.build(settings)
        assert isinstance(model, SessionEncoder)
        model.fit(corpus)
        trainer = Trainer(
            model, corpus, settings.training, settings.evaluation, Path(folder), progress=watch, processes=processes
        )
        with contextlib.suppress(Enough):
            trainer.run()
        pairs = zip(seen[WARM_UP - 1 :], seen[WARM_UP:], strict=False)
        rates = [(later.events - earlier.events) / (later.seconds - earlier.seconds) for earlier, later in pairs]
        return {
            "events_per_second": statistics.median(rates),
            "loss": seen[-1].loss,
            "items": corpus.n_items,
            "tables_mib": sum(_bytes(trainer, rows) for rows in model.tables()) / MIB,
            "before_mib": before / MIB,
            "peak_mib": machine.peak_rss_bytes() / MIB,
        }


def _bytes(trainer: Any, rows: Any) -> int:
    """Bytes of a table, of its gradient, and of what the optimizer keeps for it."""
    kept = [rows, rows.grad, *trainer.optimizer.state[rows].values()]
    return sum(tensor.numel() * tensor.element_size() for tensor in kept if tensor is not None)


def run(size: int, corpus: Path, overrides: Nested, steps: int) -> list[dict[str, Any]]:
    """What each of `size` processes has seen."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    command = [sys.executable, __file__, "--steps", str(steps), "--work", str(corpus), json.dumps(overrides)]
    group = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(command, env={**os.environ, **group, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True)
        for rank in range(size)
    ]
    said = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit("a process has failed; what it said stands above")
    return [json.loads(text) for text in said]


def row(name: str, seen: list[dict[str, Any]]) -> dict[str, Any]:
    """One line of a table: the speed of all processes, the memory of the largest one."""
    most = {key: max(each[key] for each in seen) for key in ("tables_mib", "before_mib", "peak_mib")}
    return {"processes": name, **{key: seen[0][key] for key in ("events_per_second", "loss", "items")}, **most}


def measured(corpora: tuple[Path, Path], steps: int) -> dict[str, list[dict[str, Any]]]:
    """All tables of the page."""
    speed = []
    for label, overrides in TRAINED.items():
        rows = [row(str(size), run(size, corpora[0], overrides, steps)) for size in (1, 2)]
        one = rows[0]["events_per_second"]
        speed += [{"model": label, **each, "times": each["events_per_second"] / one} for each in rows]
    split: Nested = {**LARGE, "training": {"split_items": True}}
    memory = [
        row("1", run(1, corpora[1], LARGE, steps)),
        row("2, whole tables", run(2, corpora[1], LARGE, steps)),
        row("2, split tables", run(2, corpora[1], split, steps)),
    ]
    return {"speed": speed, "memory": memory}


SPEED_COLUMNS = {"model": "", "processes": "", "items": ",", "events_per_second": ",.0f", "times": ".2f"}
MEMORY_COLUMNS = {
    "processes": "", "events_per_second": ",.0f", "loss": ".5f",
    "tables_mib": ",.0f", "before_mib": ",.0f", "peak_mib": ",.0f",
}  # fmt: skip


def page(results: dict[str, list[dict[str, Any]]], steps: int, load: float) -> str:
    """The page."""
    (items,) = {each["items"] for each in results["memory"]}
    return f"""# Several processes

`python benchmarks/processes.py` trains {steps} steps of 512 events, which all processes share, on this machine. Every
process has one thread. Events per second are those of all processes together.

## Speed

{table(results["speed"], SPEED_COLUMNS)}

times: events per second, as a multiple of those of one process. When this was measured, the machine had on average
{load:.1f} programs that wanted to run, on {cores()} cores: above one per core, what two processes gain does not show.

## Item vectors, whole and split

SASRec of {LARGE["model"]["dim"]} dimensions over {items:,} items, trained with Adam; MiB of the process that has most.

{table(results["memory"], MEMORY_COLUMNS)}

loss: of the last step; nothing but dropout tells the lines apart. tables: item vectors, positions and what belongs to
them in training (gradient, Adam's two moments). before: what the process takes before it has a model. peak: the most
it has taken, the moment included at which the vectors are drawn and every process has all of them.
"""


def main() -> None:
    """Make two logs, train on them in one and in two processes, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--work", nargs=2, metavar=("CORPUS", "SETTINGS"), help="be one of the processes")
    asked = parser.parse_args()
    if asked.work:
        print(json.dumps(work(Path(asked.work[0]), json.loads(asked.work[1]), asked.steps)))
        return
    load = os.getloadavg()[2]  # of the last quarter of an hour, which is other work than this
    from segue.data.preparation.prepare import prepare
    from segue.pipeline.settings import settings_for_log

    with tempfile.TemporaryDirectory(prefix="segue-bench-") as folder:
        corpora = (Path(folder) / "common", Path(folder) / "wide")
        for corpus, support, items in zip(corpora, (5, 1), (ITEMS // 20, ITEMS), strict=True):
            generate(Path(folder) / "log.parquet", users=USERS, items=items, sessions=SESSIONS)
            source, settings = settings_for_log(
                str(Path(folder) / "log.parquet"), {"filters": {"min_item_support": support}}
            )
            prepare(source, corpus, settings)
        results = measured(corpora, asked.steps)
    text = page(results, asked.steps, load)
    machine.write("processes", {**results, "load": load}, text)
    print(text)


if __name__ == "__main__":
    main()
