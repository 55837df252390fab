"""Every learned parameter is in one group of the optimizer, with what the group asks for."""

from __future__ import annotations

import pytest
import worlds

from segue.contract.encoder import SessionEncoder

MODELS = [
    ("hg_gnn", "segue"),
    ("hg_gnn", "memory"),
    ("hg_gnn", "paper"),
    ("lessr", "official"),
    ("gru4rec", "official"),
]


@pytest.mark.parametrize(("name", "preset"), MODELS)
def test_groups_hold_every_parameter_once_and_tell_tables_from_the_rest(name: str, preset: str) -> None:
    model = worlds.fitted(worlds.small(name, preset), worlds.busy())
    assert isinstance(model, SessionEncoder)
    groups = model.parameter_groups()
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in model.parameters())
    tables = {id(table) for table in model.tables()}
    for group in groups:
        dense = {place for place, parameter in enumerate(group["params"]) if id(parameter) not in tables}
        assert set(group["dense"]) == dense


def test_the_weights_of_the_memory_alone_learn_at_another_pace() -> None:
    model = worlds.fitted(worlds.small("hg_gnn", "segue"), worlds.busy())
    assert isinstance(model, SessionEncoder)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    paced = [names[id(p)] for group in model.parameter_groups() if group.get("pace") == 5 for p in group["params"]]
    assert {name.split(".")[0] for name in paced} == {"popularity_weight", "memory", "pointer"}
    assert all(group.get("pace", 1) in (1, 5) for group in model.parameter_groups())
