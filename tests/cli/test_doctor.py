"""``segue doctor`` shows every fact on one screen and as JSON, also where a package is broken."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from segue.cli import app as cli
from segue.doctor.examination import FORMAT

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "unattended.md"


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "segue", "doctor", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_one_screen_with_every_fact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["doctor", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    named = [line.split()[0] for line in lines if not line.startswith(" ")]
    facts = [
        "segue",
        "packages",
        "cores",
        "processor",
        "memory",
        "gpu",
        "disk",
        "disk",
        "blas",
        "blas",
        "files",
        "programs",
    ]
    assert named[: len(facts)] == facts
    assert set(named[len(facts) :]) <= {"ok", "note"}
    assert len(lines) <= 40
    assert any("GFLOP/s" in line and "numpy" in line for line in lines)
    assert str(tmp_path) in "".join(lines)


def test_the_json_shape_is_the_one_of_the_guide(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["doctor", "--json", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["format"] == FORMAT
    assert all(blas["speed"]["matmul_f32_gflops"] > 0 for blas in found["blas"])
    section = GUIDE.read_text(encoding="utf-8").partition("## What the machine can do")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE))
    assert sorted(rows) == sorted(found)
    for name, value in found.items():
        inner = value[0] if isinstance(value, list) and value else value
        if isinstance(inner, dict) and name != "programs":
            assert set(re.findall(r"`(\w+)`", rows[name])) == set(inner), name


@pytest.mark.parametrize("module", ["torch", "duckdb", "numpy"])
def test_a_broken_package_is_a_problem_and_hides_nothing_else(tmp_path: Path, module: str) -> None:
    (tmp_path / f"{module}.py").write_text("raise OSError('libgomp.so.1: cannot open shared object file')\n")
    done = doctor(PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    assert "Traceback" not in done.stderr
    assert done.returncode == 1
    assert re.search(rf"^problem +{module} .* cannot be imported: OSError: libgomp.so.1", done.stdout, re.MULTILINE)
    assert "memory " in done.stdout
    if module != "duckdb":
        assert re.search(
            rf"^blas +{module}: implementation not known, threads not known, speed not known", done.stdout, re.MULTILINE
        )


def test_a_folder_that_cannot_be_written_is_a_problem() -> None:
    done = doctor("/proc", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["grade"] == "problem"


def test_a_file_is_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert cli.run(["doctor", str(tmp_path / "file")]) == 2
    assert "is a file" in capsys.readouterr().err
