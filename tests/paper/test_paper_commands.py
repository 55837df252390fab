"""``segue study`` from the command line: every table and figure end to end on a tiny corpus, and its mistakes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paper_rows
import pytest
import small_logs

from segue.cli import app as cli
from segue.paper.index import SHEETS
from segue.pipeline import fit as pipeline
from segue.training.trainer import Trainer

Capture = pytest.CaptureFixture[str]
SHORT = tuple(small_logs.as_arguments({"training": paper_rows.BRIEF["training"]}))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders of all trainings and timings that begin."""
    begun: list[str] = []
    train, run = pipeline.train, Trainer.run

    def watched_train(corpus: Path, out: Path, *rest: Any, **named: Any) -> Path:
        begun.append(f"{out.parent.name}/{out.name}")
        return train(corpus, out, *rest, **named)

    def watched_run(self: Trainer, **named: Any) -> Any:
        if self.folder.parent.name == "timing":
            begun.append(self.folder.name)
        return run(self, **named)

    monkeypatch.setattr(pipeline, "train", watched_train)
    monkeypatch.setattr(Trainer, "run", watched_run)
    return begun


@pytest.fixture
def study(tmp_path: Path, capsys: Capture) -> Callable[..., Any]:
    """Runs ``segue study`` on the small corpus; returns what it prints as JSON."""

    def run(*arguments: str) -> Any:
        name, *rest = arguments
        code = cli.run(["study", name, str(small_logs.corpus()), "--out", str(tmp_path / "study"), *rest, "--json"])
        out, err = capsys.readouterr()
        assert code == 0, err
        return json.loads(out, parse_constant=pytest.fail)

    return run


def test_all_of_them_end_on_one_page_and_nothing_is_repeated(
    study: Callable[..., Any], trained: list[str], tmp_path: Path
) -> None:
    sheets = study("all", "--quick", *SHORT)
    assert [sheet["name"] for sheet in sheets] == list(SHEETS)
    # The paper's model as it is stands in six of the eight, and is trained once; so is popularity, beside five of them.
    assert len(trained) == len(set(trained))
    assert len(trained) > 15
    folder = tmp_path / "study"
    page = (folder / "index.html").read_text(encoding="utf-8")
    for sheet in sheets:
        name = sheet["name"]
        assert json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) == sheet
        markdown = (folder / f"{name}.md").read_text(encoding="utf-8")
        assert markdown.startswith(f"# {sheet['title']}\n")
        assert all((folder / link).exists() for link in re.findall(r"\]\(([^)]+)\)", markdown))
        assert f"<h2>{sheet['title']}</h2>" in page
        assert f"<h2>{sheet['title']}</h2>" in (folder / f"{name}.html").read_text(encoding="utf-8")
        assert_captioned(sheet)
    assert "<svg" in (folder / "figure3-1.svg").read_text(encoding="utf-8")
    before = list(trained)
    assert study("all", "--quick", *SHORT) == sheets
    assert trained == before


def assert_captioned(sheet: dict[str, Any]) -> None:
    """Every caption says what was split how; of what was trained, how, and how long."""
    caption = " ".join(sheet["caption"])
    assert "12 users" in caption
    assert "Split user_80_20" in caption
    if sheet["name"] in ("table1", "table3"):
        return
    for words in ("History frozen", "HR@10 on validation", "at most 1 epochs", "5 minutes", "seed 0", "Quick form"):
        assert words in caption, words


def test_an_interrupted_study_goes_on(
    study: Callable[..., Any], trained: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = pipeline.train

    def stopped(*arguments: Any, **named: Any) -> Path:
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "train", stopped)
        arguments = ["study", "table4", str(small_logs.corpus()), "--out", str(tmp_path / "study"), "--quick", *SHORT]
        assert cli.run(arguments) == 130
    assert len(trained) == 2
    assert not (tmp_path / "study" / "table4.md").exists()
    rows = study("table4", "--quick", *SHORT)["rows"]
    assert len(rows) == 4
    assert len(trained) == 4 + 1, "and popularity"


def test_the_full_form_refits_and_takes_seeds(study: Callable[..., Any], trained: list[str]) -> None:
    sheet = study("figure4", "--seeds", "2", *SHORT)
    caption = " ".join(sheet["caption"])
    assert "means over 2 seeds (0 to 1)" in caption
    assert "then fitted on train + validation" in caption
    assert "no time limit" in caption
    assert len(sheet["rows"]) == 5
    assert len(trained) == 10 + 1, "and popularity"
    row = sheet["rows"]["K = 20"]
    first, second = (seed["metrics"]["HR@10"] for seed in row["seeds"])
    assert row["metrics"]["HR@10"] == pytest.approx((first + second) / 2)
    assert row["spread"]["HR@10"] == pytest.approx(abs(first - second) / 2**0.5)
    assert all(seed["training"]["trained_on"] == ["train", "validation"] for seed in row["seeds"])


def test_no_order_is_printed_of_a_starved_model(study: Callable[..., Any], tmp_path: Path) -> None:
    """Such a rate teaches nothing: the variants, and the curves of a sweep, stay in the JSON."""
    for name, shown in (("table4", ["HG-GNN", "popularity"]), ("figure3", ["S = 12", "popularity"])):
        sheet = study(name, "--quick", *SHORT, "--set", "training.learning_rate=1e-9")
        assert sheet["order"]["ordered"] is False
        assert len(sheet["rows"]) > 2
        assert sheet["caption"][-1 if name == "table4" else -2].startswith(
            "Not ordered: the full model has not passed popularity (HR@10 "
        )
        lines = (tmp_path / "study" / f"{name}.md").read_text(encoding="utf-8").splitlines()
        table = [line.split("|")[1].strip() for line in lines if line.startswith("| ")]
        assert table[1:3] == shown
        assert not list((tmp_path / "study").glob("*.svg"))


def test_the_minutes_are_those_of_every_run(study: Callable[..., Any]) -> None:
    sheet = study("table4", "--quick", "--minutes", "0.25", *SHORT)
    assert "at most 0.25 minutes" in " ".join(sheet["caption"])
    assert {row["settings"]["training"]["max_minutes"] for row in sheet["rows"].values()} == {0.25}


def test_without_json_the_markdown_is_printed(tmp_path: Path, capsys: Capture) -> None:
    assert cli.run(["study", "table1", str(small_logs.corpus()), "--out", str(tmp_path / "study")]) == 0
    out, err = capsys.readouterr()
    assert "".join(out.split()) == "".join((tmp_path / "study" / "table1.md").read_text(encoding="utf-8").split())
    assert "table1.html" in "".join(err.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["table4", "--set", "model.dim=8"], "segue study sets [model] of each run itself"),
        (["table4", "--set", "training.seed=3"], "say how many with --seeds"),
        (["table4", "--minutes", "0"], "--minutes must be a number of minutes above 0, found 0"),
        (["table1", "--protocol", "paper"], "--protocol and --trials are table2's"),
        (["table4", "--trials", "3"], "--protocol and --trials are table2's"),
        (["table2", "--quick", "--trials", "3"], "--trials limits a search"),
        (["table4", "--minutes", "inf"], "--minutes must be a number of minutes above 0, found inf"),
        (["table6"], "Invalid value for"),
    ],
)
def test_mistakes(tmp_path: Path, capsys: Capture, arguments: list[str], said: str) -> None:
    name, *rest = arguments
    assert cli.run(["study", name, str(small_logs.corpus()), "--out", str(tmp_path / "study"), *rest]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert said in err
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be(tmp_path: Path, capsys: Capture) -> None:
    corpus = str(small_logs.corpus())
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for given, out, said in (
        (str(tmp_path / "none"), str(tmp_path / "study"), "is not a corpus"),
        (corpus, corpus, "is the corpus itself"),
        (corpus, str(tmp_path / "file"), str(tmp_path / "file")),
    ):
        assert cli.run(["study", "table1", given, "--out", out]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert said in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
