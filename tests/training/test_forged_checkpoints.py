"""A checkpoint that is damaged, forged, or of another training: one line with the way out, or a run that goes on."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forgeries
import pytest
import runs
import small_logs
import torch
from safetensors.torch import save_file

from segue.artifact.checkpoint import load_checkpoint, save_checkpoint
from segue.errors import ArtifactError, UserMistake
from segue.pipeline.stages import Options
from segue.settings import Nested

MODELS: dict[str, dict[str, Any]] = {
    "hg_gnn": {"dim": 8},
    "gru4rec": {"name": "gru4rec", "preset": "official", "dim": 8},
}
"""The second one carries a state from batch to batch."""


class Stopped(BaseException):
    """Stands for anything that ends a process without a warning."""


def settings(model: str) -> Nested:
    return {**small_logs.with_settings(training={"checkpoint_minutes": 0}), "model": MODELS[model]}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder above the unfinished run of a model; not to be changed."""
    folders: dict[str, Path] = {}

    def of(model: str) -> Path:
        if model not in folders:
            folders[model] = tmp_path_factory.mktemp(model)
            seen: list[object] = []

            def stop(at: object) -> None:
                seen.append(at)
                if len(seen) == 6:
                    raise Stopped

            with pytest.raises(Stopped):
                runs.train(small_logs.corpus(), folders[model] / "model", settings(model), Options(progress=stop))
        return folders[model]

    return of


def resume(folder: Path, model: str) -> str:
    """The one line that refuses the run; empty where it goes on to its end."""
    said = ""
    try:
        runs.train(small_logs.corpus(), folder / "model", settings(model), Options(resume=True))
    except UserMistake as error:
        said = str(error)
    assert "\n" not in said
    assert not said or "--overwrite" in said or said.startswith("training diverged")
    return said


@pytest.mark.parametrize("model", MODELS)
def test_forged_tensors_and_states_are_refused_or_harmless(
    stopped: Callable[[str], Path], tmp_path: Path, model: str
) -> None:
    tensors, state = load_checkpoint(stopped(model) / "model.partial" / "metrics.checkpoint")
    assert ("carried" in tensors) == (model == "gru4rec")
    draw = random.Random(model)
    refused = 0
    for number in range(24):
        folder = Path(shutil.copytree(stopped(model), tmp_path / str(number)))
        forged_tensors, forged_state = dict(tensors), dict(state)
        if number % 2:
            key = "carried" if number == 1 and "carried" in tensors else draw.choice(sorted(tensors))
            what, change = draw.choice(list(forgeries.CHANGES.items()))
            forged_tensors[key] = change(tensors[key].clone(), draw).contiguous()
            if what == "missing":
                del forged_tensors[key]
        else:
            key, value = draw.choice(sorted(state)), draw.choice(list(forgeries.VALUES.values()))
            forged_state[key] = value if key != "elapsed" else []
        save_checkpoint(folder / "model.partial" / "metrics.checkpoint", forged_tensors, forged_state)
        refused += bool(resume(folder, model))
    assert refused > 10


def test_a_state_must_fit_its_records_and_its_best_weights(stopped: Callable[[str], Path], tmp_path: Path) -> None:
    tensors, state = load_checkpoint(stopped("hg_gnn") / "model.partial" / "metrics.checkpoint")
    model = {name: tensor for name, tensor in tensors.items() if name.startswith("model.")}
    best = {f"best.{name[6:]}": tensor.clone() for name, tensor in model.items()}
    assert not state["records"], "no epoch has ended, so none was the best one"
    later = {**state, "epoch": state["epoch"] + 1}
    for name, forged, said in (
        ("a", (tensors, later), "a record of each epoch"),
        ("b", (tensors | best, state), "best epoch"),
    ):
        folder = Path(shutil.copytree(stopped("hg_gnn"), tmp_path / name))
        save_checkpoint(folder / "model.partial" / "metrics.checkpoint", *forged)
        assert said in resume(folder, "hg_gnn")


def test_every_flipped_bit_is_noticed(stopped: Callable[[str], Path], tmp_path: Path) -> None:
    whole = (stopped("hg_gnn") / "model.partial" / "metrics.checkpoint").read_bytes()
    path = tmp_path / "metrics.checkpoint"
    draw = random.Random(0)
    for _ in range(60):
        data = bytearray(whole)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        with pytest.raises(ArtifactError, match=r"the checkpoint .* cannot be read .*--overwrite"):
            load_checkpoint(path)


def test_a_checkpoint_from_before_checksums_is_read(tmp_path: Path) -> None:
    save_file({"x": torch.arange(3)}, tmp_path / "old.checkpoint", {"state": '{"step": 1}'})
    tensors, state = load_checkpoint(tmp_path / "old.checkpoint")
    assert (tensors["x"].tolist(), state) == ([0, 1, 2], {"step": 1})


@pytest.mark.parametrize("text", ["[]", "{", '{"step": NaN}', "[" * 100_000])
def test_a_state_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    save_file({"x": torch.arange(3)}, tmp_path / "x.checkpoint", {"state": text})
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_checkpoint(tmp_path / "x.checkpoint")


def test_a_link_in_the_place_of_intermediate_files_goes_and_what_it_leads_to_stays(
    stopped: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(stopped("hg_gnn"), tmp_path / "run"))
    scratch, elsewhere = folder / "model.partial" / "scratch", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").touch()
    if scratch.is_dir():
        shutil.rmtree(scratch)
    scratch.symlink_to(elsewhere)
    assert resume(folder, "hg_gnn") == ""
    assert [each.name for each in elsewhere.iterdir()] == ["mine"]


@pytest.mark.parametrize("place", ["tensorboard", "metrics.jsonl", "config.json", "metrics.checkpoint"])
def test_a_run_does_not_go_on_through_a_link(stopped: Callable[[str], Path], tmp_path: Path, place: str) -> None:
    folder = Path(shutil.copytree(stopped("hg_gnn"), tmp_path / "run"))
    path = folder / "model.partial" / place
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(elsewhere)
    assert f"{place} is a link" in resume(folder, "hg_gnn")
    path.unlink()
    os.mkfifo(path)
    assert f"{place} is a link, a pipe" in resume(folder, "hg_gnn")
    assert not any(elsewhere.iterdir())
