"""The settings of the server stand in the guide with their defaults, and each has a sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from segue.errors import ConfigError
from segue.server.settings import ServerSettings, read_settings

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "serving.md").read_text(encoding="utf-8")


def test_the_guide_names_every_setting_with_its_default() -> None:
    table = GUIDE.partition("### Settings of the server")[2].partition("###")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", table, re.MULTILINE))
    defaults = {key: rows[key] if value is None else json.dumps(value) for key, value in ServerSettings()}
    assert {key: value.removesuffix(".0") for key, value in defaults.items()} == rows
    assert all(field.description for field in ServerSettings.model_fields.values())


def test_a_file_changes_what_it_names_and_an_empty_one_nothing(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text('[server]\nretention_days = 7\nsession_gap = "20min"\n')
    assert read_settings(path) == ServerSettings(retention_days=7, session_gap="20min")
    path.write_text("")
    assert read_settings(path) == read_settings(None) == ServerSettings()


@pytest.mark.parametrize("key", [key for key, value in ServerSettings() if isinstance(value, int | float)])
def test_nothing_is_without_bounds(key: str, tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text(f"[server]\n{key} = -1\n")
    with pytest.raises(ConfigError, match=key):
        read_settings(path)
