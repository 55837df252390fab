"""Settings of a file and of --set: what they may be, and what they are laid over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segue import models
from segue.errors import ConfigError
from segue.settings import compose
from segue.settings.overrides import read_overrides


def test_a_later_assignment_wins() -> None:
    assert read_overrides(None, ["training.seed=1", "training.seed=2"]) == {"training": {"seed": 2}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("1e-3", 1e-3), ("true", True), ("[1, 2]", [1, 2]), ('["a"]', ["a"]), ('"8h"', "8h"), ("8h", "8h"),
        ("cuda:0", "cuda:0"), ("a=b", "a=b"), ("", ""), (" spaced ", "spaced"),
    ],
)  # fmt: skip
def test_values_are_toml_or_else_bare_strings(text: str, value: Any) -> None:
    assert read_overrides(None, [f"model.x={text}"]) == {"model": {"x": value}}


@pytest.mark.parametrize("assignment", ["seed=1", "training.seed", "training.=1", ".seed=1", "=1", ""])
def test_an_assignment_needs_section_key_and_value(assignment: str) -> None:
    with pytest.raises(ConfigError):
        read_overrides(None, [assignment])


def test_settings_of_settings_lie_over_those_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("[model.window]\nlength = 3\nhistory = 4\n")
    assert read_overrides(file, ["model.window.length=2"]) == {"model": {"window": {"length": 2, "history": 4}}}
    below, above = {"model": {"window": {"length": 2, "history": 4}}}, {"model": {"window": {"history": 5}}}
    assert compose(below, above).model.options == {"window": {"length": 2, "history": 5}}


_NEIGHBOURS = ("model.name=session_knn", "model.preset=vsknn_ebr")


@pytest.mark.parametrize(
    ("assignments", "says"),
    [
        (["model.window.lenght=2"], r"unknown setting 'model\.window\.lenght': did you mean 'length'"),
        (["model.window=2", "model.window.length=2"], r"model\.window\.length: 'model\.window' has a value already"),
        (["model.window=20"], r"setting 'model\.window': expected a table of keys, found 20"),
        (
            [*_NEIGHBOURS, "model.remind.sesions=3"],
            r"unknown setting 'model\.remind\.sesions': did you mean 'sessions'",
        ),
        ([*_NEIGHBOURS, "model.remind=3"], r"setting 'model\.remind': expected a table of keys, found 3"),
        (["graph.sample_size.x=2"], r"'graph\.sample_size': .*integer"),
        (["model..length=2"], r"expected SECTION\.KEY=VALUE"),
    ],
)
def test_mistakes_in_settings_of_settings(assignments: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        models.with_preset(read_overrides(None, assignments))
