"""docs/paper-map.md is complete, and its settings and commands exist; so are the switches of the guides to presets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from segue.cli.app import application
from segue.contract.memory_sources import SOURCES
from segue.models.hg_gnn.config import HGGNNConfig
from segue.models.hg_gnn.presets import POINTED, PRESETS
from segue.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "paper-map.md"
TEXT = PAGE.read_text(encoding="utf-8")
CODE = re.findall(r"`([^`]+)`", TEXT)
SECTIONS = "|".join(Settings.model_fields)
KEYS = sorted({key for code in CODE for key in re.findall(rf"(?<![\w.])((?:{SECTIONS})\.[a-z_0-9]+)", code)})


@pytest.mark.parametrize("key", KEYS)
def test_the_setting_exists(key: str) -> None:
    section, name = key.split(".")
    fields = Settings.model_fields[section].annotation.model_fields  # type: ignore[union-attr]
    assert name in fields or (section == "model" and name in HGGNNConfig.model_fields)


def test_the_commands_exist() -> None:
    known = {command.name or command.callback.__name__ for command in application().registered_commands}
    asked = {match for code in CODE for match in re.findall(r"^segue ([a-z]+)", code)}
    assert asked
    assert asked <= known
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {match for code in CODE for match in re.findall(r"^make ([a-z]+)", code)}
    assert targets
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert links
    for link in links:
        assert (PAGE.parent / link).exists(), link


def test_every_equation_table_and_figure_has_a_row() -> None:
    first_cells = [row.split(" | ")[0] for row in TEXT.splitlines() if row.startswith("| ")]
    equations = {int(number) for cell in first_cells for number in re.findall(r"\((\d+)\)", cell)}
    assert equations == set(range(1, 21))
    for kind in ("Table", "Figure"):
        assert {int(n) for cell in first_cells for n in re.findall(rf"{kind}s? (\d)", cell)} >= set(range(1, 6))


def test_rows_have_as_many_cells_as_their_header() -> None:
    width = 0
    for row in TEXT.splitlines():
        cells = len(re.findall(r"(?<!\\)\|", row)) - 1
        if row.startswith("|---"):
            assert cells == width
        elif row.startswith("| "):
            width = width or cells
            assert cells == width, row
        else:
            width = 0


def test_the_guide_to_the_controls_names_the_switches_of_authors_code_and_every_control() -> None:
    guide = (PAGE.parent / "guide" / "controls.md").read_text(encoding="utf-8")
    table = guide.split("| key of `[model]` |")[1].split("\n\n")[0]
    described = {
        row.split(" | ")[0].strip("| `"): row.split(" | ")[1:3] for row in table.splitlines() if row[:3] == "| `"
    }
    for column, preset in enumerate(("authors-code", "paper")):
        config: Any = HGGNNConfig.parse(PRESETS[preset]["model"])
        for key, values in described.items():
            actual: Any = config
            for name in key.split("."):
                actual = getattr(actual, name)
            assert values[column].strip("`") == (str(actual).lower() if isinstance(actual, bool) else str(actual)), key
    named = {key.split(".")[0] for key in described}
    assert PRESETS["authors-code"]["model"].keys() - named == {"dim", "layers", "dropout"}, "these are as in `paper`"
    assert {f"`{preset}`" for preset in PRESETS} <= set(re.findall(r"`[^`]+`", guide))


def test_the_guide_names_the_switches_of_segue_and_their_values() -> None:
    guide = (PAGE.parent / "guide" / "segue-preset.md").read_text(encoding="utf-8")
    table = guide.split("## Switches")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in table.splitlines() if row[:3] == "| `"]
    described = {key: row[1].split(", ")[number] for row in rows for number, key in enumerate(row[0].split(", "))}
    config = HGGNNConfig.parse(PRESETS["segue"]["model"])
    words = {True: "true", False: "false", None: "unset", SOURCES: "all", POINTED: "those that point"}
    for key, value in described.items():
        actual = getattr(config, key.strip("`"))
        assert value == (str(actual) if type(actual) in (int, float) else words[actual]), key
    assert {f"`{key}`" for key in PRESETS["segue"]["model"]} <= described.keys()
