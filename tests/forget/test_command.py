"""The command: what it says, what it refuses in one line, and that the old model is only read."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forgettable
import pytest
import torch
from forgettable import OTHER, PERSON
from mistakes import contents

from segue.cli import app as cli
from segue.contract.model import SessionModel
from segue.forgetting import building
from segue.system.exit_codes import Exit
from segue.training.trainer import Trainer

Ran = tuple[int, str, str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def forget(*arguments: object) -> Ran:
        code = cli.run(["forget", *map(str, arguments)])
        return code, *capsys.readouterr()

    return forget


@pytest.fixture
def refused(run: Callable[..., Ran], tmp_path: Path) -> Callable[..., str]:
    """Runs a command that has to fail; returns its one line, and nothing is written."""

    def line(*arguments: object, code: Exit = Exit.MISTAKE) -> str:
        before = contents(tmp_path)
        ended, out, err = run(*arguments)
        assert (ended, out) == (code, "")
        assert err.startswith("segue: ")
        assert err.count("\n") == 1, err
        assert contents(tmp_path) == before
        return err

    return line


def model() -> Path:
    return forgettable.trained("hrnn", "", ("dim", 8))


def test_settings_of_this_machine_can_be_said(
    run: Callable[..., Ran], refused: Callable[..., str], tmp_path: Path
) -> None:
    asked = (model(), "--user", PERSON, "--out", tmp_path / "m", "--retrain")
    assert "setting 'model.dim' belongs to the model" in refused(*asked, "--set", "model.dim=4")
    assert "no device 'cuda:7' here" in refused(*asked, "--set", "training.device=cuda:7")
    assert "is for --retrain" in refused(*asked[:-1], "--set", "training.device=cpu")
    assert run(*asked, "--set", "training.device=cpu", "--set", "preparation.memory_limit=1GiB")[0] == 0


def test_too_little_memory_advises_what_can_be_done(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A petabyte; a smaller model cannot be asked for here."""
    monkeypatch.setattr(Trainer, "_step", lambda *_: torch.empty(2**50, dtype=torch.uint8))
    said = refused(model(), "--user", PERSON, "--out", tmp_path / "m", "--retrain")
    assert "give it more memory, or train a smaller model anew" in said
    assert "model.dim" not in said


def test_it_says_what_is_gone_what_is_proved_and_what_is_not(run: Callable[..., Ran], tmp_path: Path) -> None:
    before = contents(forgettable.trained("markov").parent)
    code, out, err = run(forgettable.trained("markov"), "--user", PERSON, "--out", tmp_path / "m")
    assert code == 0
    assert contents(forgettable.trained("markov").parent) == before
    lines = out.splitlines()
    assert lines[0].startswith("gone: people 1, sessions 18, events 72. With them went 2 items that nobody else has")
    assert [line.split(":")[1].strip() for line in lines if line.startswith("proved")] == [
        "ids and rows", "events of others", "counts", "history and vocabulary",
    ]  # fmt: skip
    assert any(line.startswith("lists of others: the 20 best items of 11 of 11 others") for line in lines)
    assert (
        lines[-1]
        == "not: The old model, its corpus, the log, exports, stored lists, logs and backups are as they were."
    )
    assert not any("Weights" in line for line in lines)  # Markov has none
    assert PERSON not in out + err


def test_as_json_it_is_the_same(run: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "leaving.csv").write_text(f"user_id,since\n{PERSON},1\n{OTHER},2\n")
    code, out, _ = run(model(), "--users-file", tmp_path / "leaving.csv", "--out", tmp_path / "m", "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["format"], found["people"], found["live_events"]) == ("segue-forget-1", 2, None)
    assert all(check["holds"] for check in found["checks"])
    assert found["checks"][0]["numbers"]["rows"] == 4  # two users' states, two items' vectors
    assert found["lists"]["people"] == 10
    assert len(found["stays"]) == 3


def test_the_live_events_beside_a_model_are_pointed_out(run: Callable[..., Ran], tmp_path: Path) -> None:
    shutil.copytree(forgettable.fitted(), tmp_path / "old")
    (tmp_path / "old.state").mkdir()
    _, _, err = run(tmp_path / "old", "--user", PERSON, "--out", tmp_path / "m")
    assert f"{tmp_path / 'old.state'} holds live events of this model; name it with --state" in err


def test_who_is_not_there_is_named_and_nothing_is_written(refused: Callable[..., str], tmp_path: Path) -> None:
    out = tmp_path / "m"
    assert "1 of 2 users are not in" in (said := refused(model(), "--user", PERSON, "--user", "USER3", "--out", out))
    assert "'USER3'" in said
    assert "nobody is named" in refused(model(), "--out", out)
    assert "cannot read" in refused(model(), "--users-file", tmp_path / "none", "--out", out)
    assert "is not a trained model" in refused(tmp_path, "--user", PERSON, "--out", out)
    assert "the users of" in refused(tmp_path, "--users-file", tmp_path / "none", "--out", out)


def test_a_file_that_is_not_known_is_refused_and_not_copied(refused: Callable[..., str], tmp_path: Path) -> None:
    shutil.copytree(forgettable.fitted(), tmp_path / "old")
    for name in ("notes.txt", "evaluation/mine.csv", "corpus/train.old.parquet"):
        (tmp_path / "old" / name).write_text(PERSON)
        said = refused(tmp_path / "old", "--user", PERSON, "--out", tmp_path / "m")
        assert f"{name} is no file of a model that Segue knows" in said
        (tmp_path / "old" / name).unlink()
    (tmp_path / "old" / "link").symlink_to(tmp_path)
    assert "link is no file of a model" in refused(tmp_path / "old", "--user", PERSON, "--out", tmp_path / "m")


def test_the_old_model_and_its_corpus_are_never_replaced(refused: Callable[..., str], tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(forgettable.fitted(), old)
    assert "exists already" in refused(old, "--user", PERSON, "--out", shutil.copytree(old, tmp_path / "other"))
    for out in (old, tmp_path, old / "m", old / "corpus"):
        assert "lies in" in refused(old, "--user", PERSON, "--out", out, "--overwrite")


def test_a_model_in_the_way_is_replaced_only_when_asked(
    run: Callable[..., Ran], refused: Callable[..., str], tmp_path: Path
) -> None:
    shutil.copytree(forgettable.fitted(), tmp_path / "m")
    arguments = [forgettable.trained("markov"), "--user", PERSON, "--out", tmp_path / "m"]
    assert "exists already" in refused(*arguments)
    assert run(*arguments, "--overwrite")[0] == 0
    assert json.loads((tmp_path / "m" / "config.json").read_text())["settings"]["model"]["name"] == "markov"


def test_a_corpus_that_moved_is_named_and_another_one_is_refused(
    run: Callable[..., Ran], refused: Callable[..., str], tmp_path: Path
) -> None:
    shutil.copytree(forgettable.trained("markov"), tmp_path / "old")
    said = refused(tmp_path / "old", "--user", PERSON, "--out", tmp_path / "m", "--corpus", forgettable.without())
    assert "was not trained on the corpus" in said
    shutil.copytree(forgettable.corpus(), tmp_path / "moved")
    assert run(tmp_path / "old", "--user", PERSON, "--out", tmp_path / "m", "--corpus", tmp_path / "moved")[0] == 0


def test_a_final_model_is_not_trained_anew(refused: Callable[..., str], tmp_path: Path) -> None:
    final = forgettable.fitted(refit=False, final=True)
    assert "leave --retrain out" in refused(final, "--user", PERSON, "--out", tmp_path / "m", "--retrain")


def keep_the_row(old: SessionModel, *rest: Any) -> SessionModel:
    """The model without the person, but with their row in the place of somebody else's."""
    model, whole = REAL(old, *rest), rest[2]
    arrays = model.arrays()
    arrays["end_state"][0] = old.arrays()["end_state"][whole.user_ids.index(PERSON)]
    model.restore(arrays, model.n_items, model.n_users)
    return model


def spoil_a_count(old: SessionModel, *rest: Any) -> SessionModel:
    """The model without the person, but with a count that is another."""
    model = REAL(old, *rest)
    arrays = {name: torch.clone(array) for name, array in model.arrays().items()}
    arrays["values"][0] += 1
    model.restore(arrays, model.n_items, model.n_users)
    return model


REAL = building.without_rows


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("hrnn", keep_the_row, "model.safetensors: its bytes hold a row of numbers that was theirs"),
        ("markov", spoil_a_count, "counts: counted again from the corpus without them: not what train gives"),
    ],
)
def test_where_the_proof_fails_no_model_is_left(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, spoil: Any, said: str
) -> None:
    monkeypatch.setattr(building, "without_rows", spoil)
    old = model() if name == "hrnn" else forgettable.trained("markov")
    assert said in refused(old, "--user", PERSON, "--out", tmp_path / "m", code=Exit.DEFECT)


def test_a_full_disk_in_the_middle_is_one_line(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(building, "write_model", full)
    said = refused(forgettable.trained("markov"), "--user", PERSON, "--out", tmp_path / "m")
    assert "No space left on device; nothing there was replaced" in said


def test_an_interrupt_leaves_nothing(run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(building, "write_model", interrupt)
    code, _, err = run(forgettable.trained("markov"), "--user", PERSON, "--out", tmp_path / "m")
    assert code == Exit.INTERRUPTED
    assert err == "interrupted; nothing is half-written: the same command starts again\n"
    assert list(tmp_path.iterdir()) == []


def test_an_event_of_another_that_gets_lost_fails_the_proof(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = building.remaining
    monkeypatch.setattr(building, "remaining", lambda whole, rows: real(whole, [*rows, (rows[0] + 1) % 12]))
    said = refused(forgettable.trained("markov"), "--user", PERSON, "--out", tmp_path / "m", code=Exit.DEFECT)
    assert "events of others: " in said
    assert "events of others are missing" in said
