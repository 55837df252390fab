"""``segue prepare``: a log becomes a corpus, by DuckDB or Spark, on this machine or in object storage."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from segue.data.corpus import load
from segue.data.corpus_folder import MANIFEST
from segue.data.preparation.prepare import prepare
from segue.data.stats import table1
from segue.graph.in_preparation import prepare_graph
from segue.pipeline.settings import settings_for_log
from segue.settings import Nested
from segue.system.object_storage import fetch, is_address, refuse_taken, send
from segue.system.paths import named_path


@dataclass(frozen=True)
class Wish:
    """How a log is to be prepared.

    Attributes:
        items, users: files that describe them. overwrite: replace an existing corpus.
        spark: the master on which Spark prepares; None: DuckDB does. with_graph: count the graph too.
    """

    items: Path | None = None
    users: Path | None = None
    overwrite: bool = False
    spark: str | None = None
    with_graph: bool = False


def prepare_log(log: str, out: str, overrides: Nested, wish: Wish) -> tuple[dict[str, Any], dict[str, Any]]:
    """Prepare a log, either of both a path or an address in object storage; returns the manifest and Table 1's rows.

    What lies in object storage is copied to a temporary folder of this machine (``TMPDIR``), and the finished corpus
    from there. Raises what :func:`segue.data.preparation.prepare.prepare` and ``settings_for_log`` raise, UserMistake
    for a storage that does not answer or holds something else.
    """
    with _here(log, out, wish.overwrite) as (source_name, folder):
        source, settings = settings_for_log(source_name, overrides)
        graph = partial(prepare_graph, settings=settings.graph) if wish.with_graph else None
        manifest = prepare(
            source, folder, settings,
            items=wish.items, users=wish.users, overwrite=wish.overwrite, spark=wish.spark, graph=graph,
            called=log if is_address(log) else None,
        )  # fmt: skip
        rows = table1(load(folder))
        if is_address(out):
            send(folder, out, MANIFEST)
    return manifest, rows


@contextmanager
def fetched(log: str) -> Iterator[str]:
    """The log on this machine: itself, or for the block a copy of what is at an address."""
    if not is_address(log):
        yield log
        return
    with tempfile.TemporaryDirectory(prefix="segue-log-") as folder:
        yield str(fetch(log, Path(folder)))


@contextmanager
def _here(log: str, out: str, overwrite: bool) -> Iterator[tuple[str, Path]]:
    if not is_address(out):
        with fetched(log) as source:
            yield source, named_path(out)
        return
    refuse_taken(out, MANIFEST, overwrite=overwrite)
    with fetched(log) as source, tempfile.TemporaryDirectory(prefix="segue-corpus-") as folder:
        yield source, Path(folder) / "corpus"
