"""Starting Spark, and its mistakes in one line each: not installed, no Java, no such master, a full disk."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import shutil
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from segue.errors import ConfigError, UserMistake, first_line
from segue.settings import PreparationSettings
from segue.settings.units import size_in_bytes
from segue.system.limits import cores, query_engine_memory

LOCAL = "local"
"""The master that is this machine, with the cores that this process may use."""
_LEAST_MEMORY = 512 * 2**20
"""Spark starts with no less."""
_PATIENCE = 5.0
"""Seconds in which a master of Spark's own has to take a connection."""
SQL_SETTINGS = {
    "spark.sql.ansi.enabled": "true",  # overflow is an error, as in DuckDB
    "spark.sql.ansi.doubleQuotedIdentifiers": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}
"""Under these Spark reads SQL as DuckDB does."""


@contextmanager
def session(master: str, preparation: PreparationSettings, scratch: Path) -> Iterator[Any]:
    """A session of Spark for the block, set to read SQL as DuckDB does; one that runs in this process already is taken.

    Args:
        master: ``local``, or what Spark knows as a master: ``local[4]``, ``spark://HOST:PORT``, ``yarn``, ``k8s://…``.
        preparation: `memory_limit` is the memory of the driver, which on one machine is all of Spark.
        scratch: folder for what Spark writes for itself, and its own log.

    Raises ConfigError where pyspark or Java is missing or there is no such master; UserMistake for a full disk or too
    little memory inside the block.
    """
    if importlib.util.find_spec("pyspark") is None:
        raise ConfigError("--engine spark needs one more package, pyspark: pip install 'segue[spark]'")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")  # which is not used here
        from pyspark.sql import SparkSession

        running = SparkSession.getActiveSession()
        if running is not None:
            yield _as_duckdb_reads(running.newSession())
            return
        _require_java()
        _require_master(master)
        context = _start(master, preparation, scratch)
        try:
            yield _as_duckdb_reads(SparkSession(context))
        finally:
            context.stop()


def _as_duckdb_reads(found: Any) -> Any:
    for key, value in SQL_SETTINGS.items():
        found.conf.set(key, value)
    return found


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = Path(home, "bin", "java") if home else None
    if java is not None and not java.is_file():
        raise ConfigError(f"JAVA_HOME is {home}, where no Java is: mend it, or unset it where java is on the PATH")
    if java is None and shutil.which("java") is None:
        raise ConfigError(
            "Spark runs on Java, and no java was found; install version 17 or newer (on Debian: apt-get install "
            "openjdk-17-jre-headless), or prepare with --engine duckdb"
        )


def _require_master(master: str) -> None:
    """Spark itself tries for a minute, then says it in a page."""
    if not master.startswith("spark://"):
        return
    place = urlsplit(master.partition(",")[0])
    try:
        socket.create_connection((place.hostname or "", place.port or 7077), timeout=_PATIENCE).close()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no Spark master answers at {master} ({error}); is it running? without --master Spark runs on this machine"
        ) from None


def _start(master: str, preparation: PreparationSettings, scratch: Path) -> Any:
    from py4j.protocol import Py4JError
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException
    from pyspark.java_gateway import launch_gateway

    limit = size_in_bytes(preparation.memory_limit) if preparation.memory_limit else query_engine_memory()
    settings = {
        "spark.app.name": "segue prepare",
        "spark.master": f"local[{cores()}]" if master == LOCAL else master,
        "spark.driver.memory": f"{max(limit, _LEAST_MEMORY) // 2**20}m",
        "spark.local.dir": str(scratch / "spark"),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.ui.enabled": "false",
        "spark.log.level": "ERROR",
    }
    if master.startswith(LOCAL):
        settings |= {
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.sql.shuffle.partitions": str(2 * cores()),
        }
    conf = SparkConf(loadDefaults=False)
    for key, value in settings.items():
        conf.set(key, value)
    said = scratch / "spark.log"
    try:
        with said.open("wb") as log:
            # What the Java machine prints is kept, and said where it does not start.
            launch: Any = launch_gateway  # it has no types
            gateway = launch(conf=conf, popen_kwargs={"stdout": log, "stderr": log})
        return SparkContext(conf=conf, gateway=gateway)
    except (Py4JError, PySparkException, RuntimeError) as error:
        raise ConfigError(f"Spark does not start on {master}: {_reason(error, said)}") from None


def _reason(error: BaseException, said: Path) -> str:
    text = f"{error}\n{said.read_text(encoding='utf-8', errors='replace')}"
    for sign in ("Could not parse Master URL", "UnsupportedClassVersionError", "Could not reserve enough space"):
        found = next((line.strip() for line in text.splitlines() if sign in line), None)
        if found is not None:
            needs = "; it needs Java 17 or newer" if sign == "UnsupportedClassVersionError" else ""
            return f"{found.partition('Exception: ')[2] or found}{needs}"
    told = re.search(r"^(?:Error: |Exception in thread .*?: )(.*)", text, re.MULTILINE)
    return told[1] if told else first_line(error)


@contextmanager
def named() -> Iterator[None]:
    """Turn what Spark says of a full disk or too little memory into an OSError, or a UserMistake, of one line."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JError, PySparkException) as error:
        text = str(error)
        if "No space left on device" in text or "Disk quota exceeded" in text:
            raise OSError(errno.ENOSPC, "no space left for the tables that Spark writes") from None
        gone = re.search(r"(?:File does not exist: |FileNotFoundException: |\bPath does not exist: )(\S[^\n]*)", text)
        if gone:
            raise UserMistake(
                f"a file went away while Spark read it: {gone[1].strip()}; put it back and repeat"
            ) from None
        if "OutOfMemoryError" in text:
            raise UserMistake(
                "Spark is out of memory; raise preparation.memory_limit (--set preparation.memory_limit=8GiB) on one "
                "machine, spark.executor.memory on a cluster"
            ) from None
        raise
    except ConnectionError:
        raise UserMistake(
            "Spark has ended in the middle (its Java machine is gone, as when memory runs out); give it less to hold "
            "(--set preparation.memory_limit=2GiB) or more memory"
        ) from None
