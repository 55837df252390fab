"""Two processes hold half a table of item vectors each, and train and rank as one that holds all of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from programs_of_ranks import SPLITTING, trained
from ranks import played
from safetensors.torch import load_file
from training_runs import records

from segue import models
from segue.contract.encoder import SessionEncoder


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("halves")
    played("train_split", folder)
    return folder


def test_all_that_can_be_split_is_tried() -> None:
    encoders = [model for name in models.names() if issubclass(model := models.load(name), SessionEncoder)]
    assert {model.title for model in encoders if model.item_table} == {models.load(n).title for n, _ in SPLITTING}


@pytest.mark.parametrize(("name", "preset"), SPLITTING)
def test_the_halves_train_what_the_whole_trains(halves: Path, tmp_path: Path, name: str, preset: str) -> None:
    wanted, _ = trained(name, preset, tmp_path)
    found = load_file(halves / "0" / f"{name}-{preset}.safetensors")
    assert found.keys() == wanted.keys()
    for key, tensor in wanted.items():
        torch.testing.assert_close(found[key], tensor, rtol=1e-7, atol=1e-7, msg=lambda m, k=key: f"{k}: {m}")
    here, there = records(halves / "0" / "runs" / f"{name}-{preset}"), records(tmp_path)
    for ours, theirs in zip(here, there, strict=True):
        assert ours["validation"] == theirs["validation"]
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-9)


@pytest.mark.parametrize(("name", "preset"), SPLITTING)
def test_each_holds_half(halves: Path, name: str, preset: str) -> None:
    first, second = (json.loads((halves / str(r) / f"{name}-{preset}.json").read_text()) for r in range(2))
    assert first["rows"] + second["rows"] == first["items"] == second["items"]
    assert first["rows"] == -(-first["items"] // 2)
    for part in (first, second):
        assert part["kept"] == 2 * part["rows"] * part["dim"], "Adam's two tables are halves too"


@pytest.mark.parametrize(("name", "preset"), SPLITTING)
def test_a_stopped_run_of_halves_ends_as_if_it_never_was(halves: Path, name: str, preset: str) -> None:
    undisturbed, resumed = (load_file(halves / "0" / f"{kind}{name}-{preset}.safetensors") for kind in ("", "resumed-"))
    assert all(torch.equal(undisturbed[key], resumed[key]) for key in undisturbed)


def test_a_process_without_rows_looks_items_up(tmp_path: Path) -> None:
    """Where there are few items and many processes, the last ones hold nothing."""
    played("look_up_few", tmp_path, 3)
