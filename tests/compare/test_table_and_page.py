"""The table of a comparison as Markdown and as a page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from comparisons import compare, finished

from segue.compare import ComparisonPlan, markdown, named_models, standing, write_page
from segue.evaluation.metrics import METRICS


def test_the_markdown_marks_the_best_and_says_the_verdicts() -> None:
    _, summary = finished()
    # One epoch did not take the first model past popularity; without the tests nobody knows, and the best is marked.
    text = markdown(replace(summary, significance={}))
    header = "| model | " + " | ".join([*METRICS, "coverage@10", "coverage@20"]) + " |"
    assert text.count(header) == 1
    rows = {label: row.metrics["MRR@10"].mean for label, row in summary.rows.items()}
    best = max(rows, key=lambda label: rows[label])
    line = next(line for line in text.splitlines() if line.startswith(f"| {best} |"))
    assert f"**{100 * rows[best]:.2f}" in line
    assert re.search(r"gru4rec/full_softmax \| [*\d.]+ ± \d", text)
    assert "no model was tuned, then was fitted on train + validation" in text
    for verdict in summary.verdicts.values():
        assert verdict in text
    same = [
        sentence for label, sentence in summary.verdicts.items() if not summary.significance[label]["HR@10"].significant
    ]
    assert same
    assert all(sentence.startswith("no significant difference") for sentence in same)


def test_the_page_opens_without_a_network_and_holds_the_table(tmp_path: Path) -> None:
    _, summary = finished()
    write_page(tmp_path / "report.html", summary)
    text = (tmp_path / "report.html").read_text()
    assert not re.search(r'(src|href)="http', text)
    for label, row in summary.rows.items():
        assert label in text
        assert f"{100 * row.metrics['HR@10'].mean:.2f}" in text
    for heading in ("Verdicts", "Significance", "Costs and settings", "Learning curves", "HR@10 over events"):
        assert heading in text


def test_a_table_of_nobody_says_so(tmp_path: Path) -> None:
    note = {"plan": {}, "models": named_models(["markov"]), "seeds": [0]}
    (tmp_path / "comparison.json").write_text(json.dumps(note))
    summary = standing(tmp_path)
    assert markdown(summary) == "No model is finished yet.\n\n- markov/first_order: not finished, 0 of 1 seeds\n"
    write_page(tmp_path / "report.html", summary)
    assert "not finished" in (tmp_path / "report.html").read_text()


def test_a_row_whose_training_was_cut_short_says_so(tmp_path: Path) -> None:
    """One epoch is a limit, and no training ends by patience in it; counting models have no curve."""
    _, summary = finished()
    assert {label: row.flattened for label, row in summary.rows.items()} == {
        "gru4rec/full_softmax": False, "popularity/global": None, "markov/first_order": None, "item_knn/session": None,
    }  # fmt: skip
    text = markdown(summary)
    assert text.count("| not flattened |") == 1
    assert text.count("gru4rec/full_softmax: not converged, a limit of epochs or minutes ended its training") == 1
    write_page(tmp_path / "report.html", summary)
    assert "gru4rec/full_softmax: not converged" in (tmp_path / "report.html").read_text()
    assert summary.as_dict()["models"]["gru4rec/full_softmax"]["flattened"] is False


def test_a_training_that_ended_by_itself_is_flattened(tmp_path: Path) -> None:
    plan = ComparisonPlan(seeds=(0,), overrides={"training": {"max_epochs": 60, "patience": 1, "threads": 1}})
    summary = compare(tmp_path / "c", ["gru4rec"], plan)
    assert summary.rows["gru4rec/full_softmax"].flattened is True
    assert "| flattened |" in markdown(summary)
    assert "not converged" not in markdown(summary)


def test_a_search_says_whether_its_best_trial_flattened(tmp_path: Path) -> None:
    limits = {"training": {"max_epochs": 1, "threads": 1}}
    plan = ComparisonPlan(minutes=1, trials=1, seeds=(0,), overrides=limits)
    summary = compare(tmp_path / "c", ["gru4rec"], plan)
    assert summary.rows["gru4rec/full_softmax"].entry.flattened is False
    assert summary.rows["gru4rec/full_softmax"].flattened is False


def test_no_order_is_printed_of_a_model_that_has_not_passed_popularity(tmp_path: Path) -> None:
    starved = {"training": {"max_epochs": 1, "learning_rate": 1e-9, "threads": 1}}
    names = ["gru4rec", "popularity/global", "markov"]
    summary = compare(tmp_path / "c", names, ComparisonPlan(seeds=(0,), overrides=starved))
    assert summary.passed_popularity is False
    text = markdown(summary)
    assert "- Not ordered: gru4rec/full_softmax has not passed popularity" in text
    assert not [line for line in text.splitlines() if line.startswith("| ") and "**" in line]
    write_page(tmp_path / "report.html", summary)
    assert "Not ordered: gru4rec/full_softmax" in (tmp_path / "report.html").read_text()


def test_without_popularity_nobody_knows_whether_it_was_passed(tmp_path: Path) -> None:
    summary = compare(tmp_path / "c", ["markov", "item_knn"])
    assert summary.passed_popularity is None
    assert "Not ordered" not in markdown(summary)
    assert [line for line in markdown(summary).splitlines() if line.startswith("| ") and "**" in line]
