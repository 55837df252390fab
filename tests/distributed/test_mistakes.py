"""What goes wrong in one of several processes: one line, an exit code in each of them, nothing half-written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import ranks
import small_logs

from segue.cli import app
from segue.cli.console import err, out
from segue.distributed.launch import Place, place_in
from segue.distributed.processes import Processes
from segue.errors import UserMistake

TOLD = {
    "corpus": r"rank 0 and rank 1 do not train the same: the fingerprint of the corpus is \S+ and \S+; give all",
    "settings": r"do not train the same: training.learning_rate is 0.01 and 0.02; give all of them the same command",
    "flags": r"do not train the same: --refit is true and false; give all",
    "missing": r"rank 1: .*nowhere",
    "nothing to resume": r"rank 0: nothing to resume: there is no unfinished run at .*nothing to resume.partial",
    "diverged": r"training diverged: .*; lower training.learning_rate, found 1e\+30",
    "counting": "",
    "weights": r"do not train the same: what it holds at the start \(sha256\) is \S+ and \S+; give all",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    ranks.played("make_mistakes", folder)
    return folder


@pytest.mark.parametrize("name", TOLD)
def test_every_process_is_told_the_same(made: Path, name: str) -> None:
    first, second = (json.loads((made / f"{rank}.json").read_text())[name] for rank in range(2))
    assert first == second
    assert re.search(TOLD[name], first) if TOLD[name] else first == ""
    assert "\n" not in first


def test_only_what_has_ended_well_is_written(made: Path) -> None:
    assert sorted(path.name for path in made.iterdir()) == [
        "0.json",
        "1.json",
        "counting",
        "other",
        "weights-0",
        "weights-1",
    ]


def test_a_mistake_is_said_once_and_ends_all(tmp_path: Path) -> None:
    command = ["train", str(small_logs.corpus()), "--out", str(tmp_path / "model"), *ranks.settings(small_logs.SMALL)]
    other = [*command, "--set", "training.seed=1"]
    runs = ranks.pair(ranks.segue(*command), ranks.segue(*other))
    assert [run.code for run in runs] == [2, 2]
    (line,) = [line for run in runs for line in run.err.splitlines() if line]
    assert "training.seed is 0 and 1" in line
    assert not list(tmp_path.iterdir())


def test_a_rank_that_does_not_come_is_waited_for_so_long_and_no_longer(tmp_path: Path) -> None:
    command = ranks.segue("train", str(small_logs.corpus()), "--out", str(tmp_path / "model"))
    alone = ranks.environment(0, 2, ranks.free_port(), SEGUE_WAIT_MINUTES="0.05")
    (run,) = ranks.ended([ranks.process(command, alone)])
    assert run.code == 2
    (line,) = run.err.splitlines()
    assert line.startswith("segue: rank 0 of 2 has waited 0.05 minutes for the others and not met them all")
    assert "SEGUE_WAIT_MINUTES sets the minutes" in line


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("command", sorted({*app.COMMANDS} - {"train", "evaluate"}))
def test_commands_of_one_process_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, rank: int
) -> None:
    for name, value in ranks.environment(rank, 2, 1).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(err, "quiet", False)
    monkeypatch.setattr(out, "quiet", False)
    assert app.run([command, "anything"]) == 2
    said = capsys.readouterr().err
    wanted = f"segue: segue {command} works in one process, and 2 were started; start it without torchrun"
    assert said.startswith(wanted) if rank == 0 else said == ""


def test_measuring_cold_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in ranks.environment(0, 2, 1).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(err, "quiet", False)
    assert app.run(["evaluate", "model", "--cold"]) == 2
    assert "segue evaluate --cold works in one process" in capsys.readouterr().err


@pytest.mark.parametrize(("rank", "size"), [("x", "2"), ("2", "2"), ("-1", "2"), ("0", "0"), ("0", "x")])
def test_an_environment_that_makes_no_sense_is_refused(rank: str, size: str) -> None:
    given = {"RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "x", "MASTER_PORT": "1"}
    with pytest.raises(UserMistake, match="RANK and WORLD_SIZE must be"):
        place_in(given)


def test_half_of_an_environment_is_none() -> None:
    """Systems that start jobs set some of these for other reasons."""
    assert place_in({"RANK": "1", "WORLD_SIZE": "2"}) == Place(0, 1)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("[pair.cc:547] Connection closed by peer [127.0.0.1]:41", "another of the 2 processes has ended; the same"),
        ("Timed out waiting 30000ms for recv operation to complete", "has not answered for 0.5 minutes; the same"),
    ],
)
def test_silence_is_said_in_one_line(found: str, said: str) -> None:
    with pytest.raises(UserMistake, match=re.escape(said)), Processes(0, 2, 0.5).heard():
        raise RuntimeError(found)


def test_a_defect_is_no_silence() -> None:
    with pytest.raises(RuntimeError, match="size of tensor"), Processes(0, 2, 0.5).heard():
        raise RuntimeError("The size of tensor a (3) must match the size of tensor b (4)")


@pytest.mark.parametrize("minutes", ["x", "0", "-1", "nan", "inf"])
def test_minutes_that_are_none_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], minutes: str
) -> None:
    for name, value in ranks.environment(0, 2, 1, SEGUE_WAIT_MINUTES=minutes).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(err, "quiet", False)
    assert app.run(["train", "corpus", "--out", "model"]) == 2
    assert "SEGUE_WAIT_MINUTES must be a number of minutes above 0" in capsys.readouterr().err
