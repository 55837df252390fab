"""A folder is replaced at once: its name never stands for nothing, and the next run puts right what was interrupted."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import NoReturn

import pytest

from segue.system import replacing
from segue.system.replacing import discard, exchange, followed, publish, settle


def folder(path: Path, text: str) -> Path:
    path.mkdir(parents=True)
    (path / "file").write_text(text)
    return path


def read(path: Path) -> str:
    return (path / "file").read_text()


@pytest.fixture(params=["exchanged", "in two steps"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the system call, and as on a file system that does not have it."""
    if request.param == "in two steps":
        monkeypatch.setattr(replacing, "exchange", lambda one, other: False)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("before", ["nothing", "empty", "old"])
def test_what_is_finished_takes_the_place(tmp_path: Path, before: str) -> None:
    out = tmp_path / "out"
    if before == "empty":
        out.mkdir()
    elif before == "old":
        folder(out, "old")
    publish(folder(tmp_path / "aside" / "new", "new"), out)
    assert read(out) == "new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["aside", "file", "out"]


@pytest.mark.usefixtures("_way")
def test_a_failed_rename_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, new = folder(tmp_path / "out", "old"), folder(tmp_path / "new", "new")
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        return _no_space() if self == new else real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    if replacing.exchange is exchange:
        monkeypatch.setattr(replacing, "exchange", _no_space)
    with pytest.raises(OSError, match="No space left"):
        publish(new, out)
    assert (read(out), read(new)) == ("old", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "out"]


def _no_space(*_: object) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_two_names_are_exchanged_at_once(tmp_path: Path) -> None:
    one, other = folder(tmp_path / "one", "1"), folder(tmp_path / "other", "2")
    if not exchange(one, other):
        pytest.skip("this file system exchanges no names")
    assert (read(one), read(other)) == ("2", "1")
    with pytest.raises(FileNotFoundError):
        exchange(one, tmp_path / "nowhere")


def test_killed_between_two_steps_the_old_folder_comes_back(tmp_path: Path) -> None:
    folder(tmp_path / ".out.segue-former", "old")
    settle(tmp_path / "out")
    assert read(tmp_path / "out") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_was_replaced_or_dropped_goes_at_the_next_run(tmp_path: Path) -> None:
    out = folder(tmp_path / "out", "new")
    for what in ("former", "dropped", "new"):
        folder(tmp_path / f".out.segue-{what}", "old")
    others = [folder(tmp_path / name, "mine") for name in (".out.former", ".other.segue-former", "out.old")]
    settle(out)
    assert read(out) == "new"
    assert sorted(tmp_path.iterdir()) == sorted([out, *others])


def test_what_was_exchanged_keeps_a_name_that_the_next_run_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, new = folder(tmp_path / "out", "old"), folder(tmp_path / ".out.segue-new", "new")
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)  # as if the process had been killed
    publish(new, out)
    monkeypatch.undo()
    settle(out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_is_dropped_whole(tmp_path: Path) -> None:
    discard(folder(tmp_path / "out", "old"))
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("disk/out")
    assert followed(tmp_path / "link") == (tmp_path / "disk" / "out").resolve()
    assert followed(Path("out")) == Path("out")
