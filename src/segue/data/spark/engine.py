"""The preparation's tables in Spark: a table is a folder of Parquet in the scratch folder, known by a view's name."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segue.data.engine import quoted
from segue.data.spark.session import named
from segue.errors import first_line

_PLACE = "segue_place"
_OTHERWISE = re.compile(r""" "(?:[^"]|"")*" | '(?:[^']|'')*' | // """, re.VERBOSE)
FILE_FACTS = "_metadata"
"""The column in which Spark tells of the file of a row."""
_PER_PARTITION = 33
"""Bits that Spark's ``monotonically_increasing_id`` has for the rows of a partition."""


class SparkTables:
    """What :mod:`segue.data.tables` asks of an engine, in a session of Spark.

    Every table is written before it is used, so that nothing is computed twice and a number that was given stays.

    Args:
        session: set as :func:`segue.data.spark.session.session` sets it.
        scratch: a folder that every machine of the cluster reads and writes under the same name.
    """

    def __init__(self, session: Any, scratch: Path) -> None:
        self._session = session
        self._scratch = scratch
        self._places: dict[str, Path] = {}
        self._made = 0

    def execute(self, query: str, parameters: Any = None) -> Rows:
        """Run a query; its rows are fetched from what is returned."""
        with named():
            return Rows(self._session.sql(in_spark(query), args=list(parameters) if parameters else None))

    def create(self, name: str, query: str) -> None:
        """Make or replace a table."""
        with named():
            self._keep(name, self._session.sql(in_spark(query)))

    def number(self, name: str, query: str, column: str, order: str, kind: str) -> None:
        """Make or replace a table of the query's rows, numbered from 0 in the order of `order`.

        Every partition of the sorted rows numbers its own, and the sizes of those before it are added: a window over
        all rows would send them to one machine.
        """
        from pyspark.sql import functions

        with named():
            ordered = self._session.sql(in_spark(f"SELECT * FROM ({query}) AS asked ORDER BY {order}"))
            place = self._write(name, ordered.withColumn(_PLACE, functions.monotonically_increasing_id()))
            rows = self._session.read.parquet(_literally(place))
            partition = f"CAST(shiftright({_PLACE}, {_PER_PARTITION}) AS INT)"
            counts = dict(rows.groupBy(functions.expr(partition)).count().collect())
            sizes = [counts.get(number, 0) for number in range(max(counts, default=0) + 1)]
            before = ", ".join(f"{size}L" for size in accumulate(sizes[:-1], initial=0))
            own = f"({_PLACE} & {2**_PER_PARTITION - 1}L)"
            numbers = f"CAST(array({before})[{partition}] + {own} AS {kind}) AS {quoted(column)}"
            others = [quoted(name) for name in rows.columns if name != _PLACE]
            self._name(name, place, rows.selectExpr(numbers, *others))

    def drop(self, name: str) -> None:
        """Remove a table and its files."""
        with named():
            self._session.catalog.dropTempView(name)
        if name in self._places:
            shutil.rmtree(self._places.pop(name), ignore_errors=True)

    def batches(self, query: str, rows: int) -> pa.RecordBatchReader:
        """The rows in the query's order, through files: nothing has to fit into the memory of this machine."""
        with named():
            place = self._write("handed_out", self._session.sql(in_spark(query)))
        files = sorted(place.glob("part-*.parquet"), key=lambda file: int(file.name.split("-")[1]))
        schema = pa.schema([pa.field(field.name, field.type) for field in pq.read_schema(files[0])])
        return pa.RecordBatchReader.from_batches(schema, _rebatched(files, schema, rows, place))

    def take(self, name: str, folder: Path) -> None:
        """Let the Parquet files of a folder be a table; the folder goes with it."""
        with named():
            self._name(name, folder, self._session.read.parquet(_literally(folder)))

    def view(self, name: str, files: Sequence[Path], columns: Sequence[str]) -> None:
        """Let columns of Parquet files, as SQL, be the table `name`: nothing is written."""
        with named():
            self._read(files).selectExpr(*map(in_spark, columns)).createOrReplaceTempView(name)

    def refusal(self, files: Sequence[Path]) -> str | None:
        """Why Spark does not take Parquet files as a table, in its words; None where it does."""
        from pyspark.errors import PySparkException

        try:
            with named():
                self._read(files)
        except PySparkException as error:
            return first_line(error)
        return None

    def file_names(self, files: Sequence[Path]) -> list[str]:
        """The names under which Spark knows the files that hold rows."""
        with named():
            return [name for (name,) in self._read(files).selectExpr(f"{FILE_FACTS}.file_path").distinct().collect()]

    def _read(self, files: Sequence[Path]) -> Any:
        return self._session.read.parquet(*map(_literally, files))

    def _keep(self, name: str, frame: Any) -> None:
        place = self._write(name, frame)
        self._name(name, place, self._session.read.schema(frame.schema).parquet(_literally(place)))

    def _write(self, name: str, frame: Any) -> Path:
        self._made += 1
        place = self._scratch / f"{name}-{self._made}"
        frame.write.parquet(str(place))
        return place

    def _name(self, name: str, place: Path, frame: Any) -> None:
        frame.createOrReplaceTempView(name)
        earlier = self._places.pop(name, None)
        if earlier is not None:
            shutil.rmtree(earlier, ignore_errors=True)
        self._places[name] = place


class Rows:
    """The rows of a query."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def fetchall(self) -> list[Any]:
        """All rows, as tuples."""
        with named():
            return [tuple(row) for row in self._frame.collect()]

    def fetchone(self) -> Any:
        """The first row; None where there is none."""
        with named():
            found = self._frame.head(1)
        return tuple(found[0]) if found else None

    def fetchnumpy(self) -> dict[str, Any]:
        """Column name → values."""
        table = self.to_arrow_table()
        return {name: np.asarray(table.column(name)) for name in table.column_names}

    def to_arrow_table(self) -> pa.Table:
        """All rows as an Arrow table."""
        with named():
            return self._frame.toArrow()


def in_spark(query: str) -> str:
    """The preparation's SQL in Spark's words: whole division, and texts with quotes or backslashes, written anew."""
    return _OTHERWISE.sub(_in_its_words, query)


def _in_its_words(found: re.Match[str]) -> str:
    if found[0] == "//":
        return "DIV"
    if found[0].startswith('"'):
        return found[0]
    text = found[0][1:-1].replace("''", "'")
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _literally(path: Path) -> str:
    """A path whose brackets are no pattern to Spark."""
    return re.sub(r"([{}\[\]*?\\])", r"\\\1", str(path.resolve()))


def _rebatched(files: list[Path], schema: pa.Schema, rows: int, place: Path) -> Iterator[pa.RecordBatch]:
    """The rows of some files in batches of `rows`, as DuckDB hands them out; the folder `place` goes afterwards."""
    waiting: list[pa.RecordBatch] = []
    for file in files:
        with pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(rows):
                waiting.append(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
                if sum(map(len, waiting)) >= rows:
                    whole = pa.Table.from_batches(waiting).combine_chunks()
                    yield from whole.slice(0, rows).to_batches()
                    waiting = whole.slice(rows).to_batches()
    if waiting:
        yield from pa.Table.from_batches(waiting).combine_chunks().to_batches()
    shutil.rmtree(place, ignore_errors=True)
