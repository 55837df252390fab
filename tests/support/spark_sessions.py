"""One session of Spark for a whole test process: it takes seconds to start, and tests are small."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from functools import cache
from typing import Any

import pytest

SETTINGS = {
    "spark.driver.memory": "768m",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.log.level": "ERROR",
    "spark.sql.catalogImplementation": "in-memory",
    # Small logs gain nothing from compiled plans, and lose the time that compiling takes.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.shuffle.partitions": "2",
    "spark.default.parallelism": "2",
}
NEEDS_SPARK = pytest.mark.skipif(
    importlib.util.find_spec("pyspark") is None or not (shutil.which("java") or os.environ.get("JAVA_HOME")),
    reason="pyspark or Java is not installed",
)


@cache
def running() -> Any:
    """The session of this process, which ``prepare(…, spark=…)`` takes."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[1]").appName("segue tests")
    for key, value in SETTINGS.items():
        builder = builder.config(key, value)
    return builder.config("spark.local.dir", tempfile.mkdtemp(prefix="segue-spark-")).getOrCreate()
