"""Spark and DuckDB make the same corpus, byte for byte."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import spark_sessions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_corpora import START, small

from segue.data.corpus_folder import FILES, GRAPH, MANIFEST, read_manifest
from segue.data.preparation.prepare import prepare
from segue.data.spark.engine import SparkTables
from segue.data.spark.log import read_plain_log
from segue.errors import UserMistake
from segue.graph.in_preparation import prepare_graph
from segue.settings import GraphSettings, Settings

pytestmark = spark_sessions.NEEDS_SPARK
USERS = ["u", "v", "w", "é", "Ω", "z'", "a\\b", "-1", "", "10", "9", "\\N", " \t"]
ITEMS = ["a", "B", "b", "ä", "1", "10", "9", "x // y", "n\u0301", "ń", "🎈"]
Row = tuple[str | None, str, int, str | None, str]


def log_of(rows: list[Row]) -> pa.Table:
    """(user, item, minute, session id, event type) as a frame."""
    users, items, minutes, sessions, kinds = zip(*rows, strict=True)
    return pa.table(
        {
            "user_id": pa.array(users, pa.string()),
            "item_id": items,
            "timestamp": [START + minute * 60_000 for minute in minutes],
            "session_id": pa.array(sessions, pa.string()),
            "event_type": kinds,
        }
    )


def drawn(seed: int, rows: int) -> list[Row]:
    """A random log with what engines treat differently: bytes beyond ASCII, quotes, equal times, nobody's events."""
    draw = random.Random(seed)
    log: list[Row] = []
    while len(log) < rows:
        user = draw.choice([*USERS[:8], *USERS[9:], None])
        named = user is None or draw.random() < 0.3
        start, name = draw.randrange(40_000), f"s{draw.randrange(60)}" if named else None
        for _ in range(draw.randint(1, 9)):
            start += draw.choice([0, 0, 1, 5, 700])
            log.append((user, draw.choice(ITEMS), start, name, draw.choice(["click", "x // y", "it's\\"])))
    return log


def wishes(**sections: dict[str, Any]) -> dict[str, Any]:
    """Settings under which users and sessions may lack."""
    return {
        **sections,
        "sessions": {"missing": "gap", **sections.get("sessions", {})},
        "filters": {"rare_users": "train", **sections.get("filters", {})},
    }


VARIANTS = [
    wishes(sessions={"max_length": 6, "keep": "last"}, filters={"min_item_support": 3, "top_items": 9}),
    wishes(
        filters={"scope": "train", "top_items": 8, "event_types": ["x // y", "it's\\"]},
        split={"test": 0.3, "validation": 0.3},
        sessions={"keep": "first", "max_length": 5},
    ),
    wishes(split={"protocol": "global_time", "test": 0.25}, sessions={"keep": "drop", "max_length": 7}),
    wishes(split={"protocol": "global_time"}, filters={"scope": "train", "min_user_sessions": 3}),
]
TIMES = [None, pa.timestamp("us"), pa.timestamp("ms", tz="UTC"), pa.int64()]
"""Times of the files of each variant; None: the log is a frame, which DuckDB reads and hands over."""


def assert_same(folder: Path, log: Any, wish: dict[str, Any], **options: Any) -> None:
    """Prepare with both engines and compare the corpora, or what they are refused for."""
    spark_sessions.running()
    asked = small(**wish)
    said = [
        refusal(log, folder / name, asked, spark, **options) for name, spark in (("duckdb", None), ("spark", "local"))
    ]
    assert said[0] == said[1]
    for name in FILES if said[0] is None else ():
        same = (folder / "duckdb" / name).read_bytes() == (folder / "spark" / name).read_bytes()
        assert same or name == MANIFEST, name
    for file in (folder / "duckdb" / GRAPH).glob("*"):
        assert file.read_bytes() == (folder / "spark" / GRAPH / file.name).read_bytes(), file
    if said[0] is None:
        assert read_manifest(folder / "spark") == read_manifest(folder / "duckdb")


def refusal(log: Any, out: Path, asked: Settings, spark: str | None, **options: Any) -> str | None:
    """Prepare, and return what it is refused for, as a log of which nothing is left."""
    try:
        prepare(log, out, asked, spark=spark, **options)
    except UserMistake as error:
        return str(error)
    return None


def as_files(log: pa.Table, folder: Path, kind: pa.DataType) -> Path:
    """The log as two Parquet files, whose names Spark writes in another way, with times of the given type."""
    folder.mkdir()
    times = log.column("timestamp").cast(pa.timestamp("ms", tz="UTC"))
    log = log.set_column(log.column_names.index("timestamp"), "timestamp", times.cast(kind, safe=False))
    for number, start in enumerate((0, len(log) // 3)):
        pq.write_table(log.slice(start, None if number else len(log) // 3), folder / f"part {number}é%{{}}.parquet")
    return folder


# The first variant is also that of the graph below.
@pytest.mark.parametrize("variant", [*(pytest.param(each, marks=pytest.mark.slow) for each in (0, 1, 2)), 3])
def test_same_corpus_and_manifest(tmp_path: Path, variant: int) -> None:
    log, kind = log_of(drawn(variant, 700)), TIMES[variant]
    assert_same(tmp_path, as_files(log, tmp_path / "log[1]", kind) if kind else log, VARIANTS[variant])


@pytest.mark.slow
@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10_000), rows=st.integers(30, 400), wish=st.sampled_from(VARIANTS))
def test_same_corpus_of_any_log(
    tmp_path_factory: pytest.TempPathFactory, seed: int, rows: int, wish: dict[str, Any]
) -> None:
    assert_same(tmp_path_factory.mktemp("any"), log_of(drawn(seed, rows)), wish)


def test_items_users_and_the_graph(tmp_path: Path) -> None:
    items = pa.table({"item_id": ["a", "ä", "0010"], "name": ["A", None, "ten"], "shelf": ["1", "2", "2"]})
    users = pa.table({"user_id": ["é", "10"], "town": ["Oslo", None]})
    graph = partial(prepare_graph, settings=GraphSettings(sample_size=2, top_k_similar=3, max_users_per_item=4))
    assert_same(tmp_path, log_of(drawn(9, 400)), VARIANTS[0], items=items, users=users, graph=graph)
    assert len(list((tmp_path / "spark" / GRAPH).iterdir())) == 10


@pytest.mark.parametrize(
    "wish",
    [
        {"sessions": {"missing": "gap"}},
        {"columns": {"item_id": "item"}, **wishes()},
        wishes(filters={"event_types": ["clack"]}),
        pytest.param(wishes(filters={"min_item_support": 800}), marks=pytest.mark.slow),
    ],
)
def test_refused_alike(tmp_path: Path, wish: dict[str, Any]) -> None:
    """A null user and where it stands, a column and an event type that are not there, nothing left."""
    log = as_files(log_of(drawn(3, 700)), tmp_path / "log", pa.timestamp("us"))
    assert_same(tmp_path, log, wish)
    assert not (tmp_path / "spark").exists()


ODD = {
    "a column whose name differs in case": ("log.parquet", {"User_ID": ["x"]}),
    "a column in a type that Spark has not": ("log.parquet", {"seen": pa.array([START], pa.timestamp("ns"))}),
    "a column called as Spark's own": ("log.parquet", {"_Metadata": ["x"]}),
    "a file that Spark takes for hidden": ("_log.parquet", {}),
    "a file that all take for hidden": (".log.parquet", {}),
}


@pytest.mark.parametrize("odd", ODD)
def test_what_spark_does_not_read_is_left_to_duckdb(tmp_path: Path, caplog: pytest.LogCaptureFixture, odd: str) -> None:
    name, more = ODD[odd]
    log = log_of(drawn(1, 120))
    for column, value in more.items():
        log = log.append_column(column, pa.concat_arrays([pa.array(value)] * len(log)))
    pq.write_table(log, tmp_path / name)
    tables = SparkTables(spark_sessions.running().newSession(), tmp_path)
    with caplog.at_level("INFO"):
        assert read_plain_log(tables, tmp_path / name, small(**wishes()), left_out=0) is None
    assert "Spark starts from the table that DuckDB reads on this machine: " in caplog.text


def test_a_log_without_rows_is_refused_alike(tmp_path: Path) -> None:
    pq.write_table(log_of(drawn(1, 9)).slice(0, 0), tmp_path / "log.parquet")
    assert_same(tmp_path, tmp_path / "log.parquet", wishes())
    assert not (tmp_path / "spark").exists()
