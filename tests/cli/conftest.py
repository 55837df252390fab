"""The fixture of all tests of mistakes on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from mistakes import Refused, contents

from segue.cli import app as cli


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs a command that has to fail; returns its one line without the beginning."""

    def run(*arguments: object) -> str:
        before = contents(tmp_path)
        code = cli.run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert code == 2, err
        assert out == ""
        assert err.count("\n") == 1, err
        assert err.startswith("segue: ")
        assert err.endswith("\n")
        assert "Traceback" not in err
        assert contents(tmp_path) == before
        return err.removeprefix("segue: ").rstrip("\n")

    return run
