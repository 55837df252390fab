"""JSON lines of which some are no objects (damaged lines, lists, bare values): named, or left out and counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from segue.data.engine import FILE, file_list, literal, one_row, quoted
from segue.data.log.tabular import Loaded, position_in_files
from segue.data.text.survey import as_text
from segue.errors import LogError

_PROBLEM = "segue_problem"
_DAMAGED, _NO_OBJECT = "no valid JSON", "JSON that is no object"


def _lines(files: Sequence[Path]) -> str:
    """The SQL of all lines that are not blank: the text of the objects, and what is wrong with the others."""
    problem = f"CASE WHEN json IS NULL THEN '{_DAMAGED}' WHEN json_type(json) <> 'OBJECT' THEN '{_NO_OBJECT}' END"
    options = f"ignore_errors = true, hive_partitioning = false, filename = '{FILE}'"
    return f"(SELECT *, {problem} AS {_PROBLEM} FROM read_ndjson_objects({file_list(files)}, {options}))"


def structure_of(connection: duckdb.DuckDBPyConnection, name: str, files: Sequence[Path]) -> dict[str, Any]:
    """Key → type of its values over all objects: a name of the engine, a dict for objects, a list for lists.

    Raises LogError where no line is an object.
    """
    lines = f"{_lines(files)} WHERE {_PROBLEM} IS NULL"
    (found,) = one_row(connection, f"SELECT CAST(json_group_structure(json) AS VARCHAR) FROM {lines}")
    structure = json.loads(found) if found else None
    if not isinstance(structure, dict):
        raise LogError(f'{name}: no line is a JSON object with keys, such as {{"user_id": "a", …}}; is it JSON lines?')
    return structure


def load_objects(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[Path],
    read: Mapping[str, Any],
    selected: Mapping[str, str],
    into: str,
    *,
    drop_invalid: bool,
) -> Loaded:
    """Copy the objects to the engine's table `into`.

    Args:
        read: key → type as which it is read.
        selected: name in `into` → SQL over the keys.
        drop_invalid: leave out, and count, lines that are no objects.

    Raises LogError that names the first line that is no object.
    """
    columns = ", ".join(f"{sql} AS {quoted(role)}" for role, sql in selected.items())
    value = f"json_transform(CASE WHEN {_PROBLEM} IS NULL THEN json END, {literal(json.dumps(read))})"
    connection.execute(
        f"CREATE OR REPLACE TABLE {into} AS SELECT {columns}, {FILE}, {_PROBLEM} "
        f"FROM (SELECT unnest({value}), {FILE}, {_PROBLEM} FROM {_lines(files)})"
    )
    of_files = f"SELECT {FILE}, min(rowid), count(*) FILTER ({_PROBLEM} IS NULL) FROM {into} GROUP BY {FILE}"
    found = {file: (first, kept) for file, first, kept in connection.execute(of_files).fetchall()}
    wrong = connection.execute(
        f"SELECT rowid, {FILE}, {_PROBLEM} FROM {into} WHERE {_PROBLEM} IS NOT NULL ORDER BY rowid"
    ).fetchall()
    if wrong and not drop_invalid:
        row, file, problem = wrong[0]
        connection.execute(f"DROP TABLE {into}")
        raise LogError(_refusal(Path(file), row - found[file][0], problem))
    kept = ", ".join(map(quoted, selected))
    connection.execute(f"CREATE OR REPLACE TABLE {into} AS SELECT {kept} FROM {into} WHERE {_PROBLEM} IS NULL")
    gaps: dict[str, list[int]] = {}
    for row, file, _ in wrong:
        gaps.setdefault(file, []).append(row - found[file][0])
    counts = {file: kept for file, (_, kept) in found.items()}
    return Loaded(Counter(problem for *_, problem in wrong), position=position_in_files(files, lambda: counts, gaps))


def _refusal(file: Path, place: int, problem: str) -> str:
    """The message about the line that is in this place, from 0, among the lines of a file that are not blank."""
    with as_text(file) as lines:
        numbers = (number for number, line in enumerate(lines, 1) if line.strip())
        line = next(islice(numbers, place, None))
    return (
        f"{file} cannot be read: line {line} is {problem}; mend that line, or leave such lines out with --drop-invalid"
    )
