"""Two processes train the model that one would have trained: the same batches, the same gradients, the same weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from programs_of_ranks import CASES, trained
from ranks import played
from safetensors.torch import load_file

from segue import models


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("both")
    played("train_all", folder)
    return folder


@pytest.mark.parametrize(("name", "preset"), CASES)
def test_two_processes_train_what_one_trains(both: Path, tmp_path: Path, name: str, preset: str) -> None:
    wanted, alone = trained(name, preset, tmp_path)
    here, there = (json.loads((both / str(rank) / f"{name}-{preset}.json").read_text()) for rank in range(2))
    assert [a + b for a, b in zip(here, there, strict=True)] == alone, "each event is played once"
    first, second = (load_file(both / str(rank) / f"{name}-{preset}.safetensors") for rank in range(2))
    assert first.keys() == second.keys() == wanted.keys()
    for key, tensor in wanted.items():
        assert torch.equal(first[key], second[key]), key
        torch.testing.assert_close(first[key], tensor, rtol=1e-7, atol=1e-7, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.parametrize(("name", "preset"), CASES)
def test_what_is_compared_has_unequal_and_empty_shares(both: Path, name: str, preset: str) -> None:
    first, second = (json.loads((both / str(rank) / f"{name}-{preset}.json").read_text()) for rank in range(2))
    assert any(a != b and a and b for a, b in zip(first, second, strict=True))
    # A batch of single events is divided evenly; only one that has a single event leaves a share empty.
    single = models.with_preset({"model": {"name": name, "preset": preset}}).training.shuffle == "events"
    assert single or 0 in [*first, *second]
