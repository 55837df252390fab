"""docs/guide/settings-reference.md is what the code says, and the code says something about every setting."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from segue import models
from segue.cli import settings_reference
from segue.settings import Settings
from segue.settings.reference import entries

ROOT = Path(__file__).parents[2]


def test_the_committed_page_is_the_generated_one() -> None:
    committed = (ROOT / settings_reference.PAGE).read_text(encoding="utf-8")
    assert committed == settings_reference.page(), f"the page is out of date; run: {settings_reference.COMMAND}"


@pytest.mark.parametrize("name", models.names())
def test_every_option_of_a_model_has_a_sentence(name: str) -> None:
    silent = [entry.key for entry in entries(models.load(name).Config, "model") if not entry.meaning]
    assert not silent, f"write a docstring under these options of {name}: {', '.join(silent)}"


def test_the_page_holds_every_section_model_and_preset() -> None:
    page = settings_reference.page()
    for name in Settings.model_fields:
        assert f"## `[{name}]`" in page
    for name in models.names():
        _, _, after = page.partition(f"\n## `{name}`\n")
        assert after
        for preset in models.load(name).presets:
            assert f"\n| `{preset}` | " in after


def test_the_command_writes_the_page_or_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "page.md"
    monkeypatch.setattr(sys, "argv", ["settings_reference", "--write", str(written)])
    settings_reference.main()
    assert written.read_text(encoding="utf-8") == settings_reference.page()
    monkeypatch.setattr(sys, "argv", ["settings_reference"])
    settings_reference.main()
    assert capsys.readouterr().out == settings_reference.page()
