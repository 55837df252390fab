"""The consumer of the guide on exports gives the lists of `segue recommend`, without Segue."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import small_logs
from exported_models import exported_model

from segue.cli import app as cli

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "export.md").read_text(encoding="utf-8")
(CODE,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ASKED = [
    (small_logs.user(0), ["first3", "second3"]),
    (small_logs.user(1), ["first3", "not sold here", "second3"]),
    (small_logs.user(2), []),
    ("nobody", ["b2"] * 30),
    ("nobody", []),
]
ASKING = """
import json, sys
print(json.dumps([recommend(user, session, 12) for user, session in json.loads(sys.argv[1])]))
assert not any(name.partition(".")[0] in ("segue", "torch", "onnx") for name in sys.modules)
"""


def test_the_lists_are_those_of_recommend(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "exported").symlink_to(exported_model())
    ran = subprocess.run(
        [sys.executable, "-c", CODE + ASKING, json.dumps(ASKED)], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    for (user, items), found in zip(ASKED, json.loads(ran.stdout), strict=True):
        asked = ["--user", user, "--items", ",".join(items), "-k", "12", "--json"]
        assert cli.run(["recommend", str(small_logs.fitted_model()), *asked]) == 0
        assert found == [entry["item"] for entry in json.loads(capsys.readouterr().out)["items"]], (user, items)
