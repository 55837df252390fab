"""Pieces of the paper's tables: printed numbers, rows and reasons, Table 2's signs, timing, Figure 5's users."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_logs
from scipy import stats
from worlds import TEST, TRAIN, busy, corpus_of

from segue import models
from segue.compare.row import EntrantRow, Entry
from segue.data.corpus import load
from segue.errors import UserMistake
from segue.evaluation.measurement import Measurement
from segue.paper import plan
from segue.paper import printed_numbers as paper
from segue.paper import table2 as comparison
from segue.paper import table3 as timing
from segue.paper.figure5 import similar_sessions
from segue.paper.plan import Plan
from segue.paper.printed_numbers import METRICS
from segue.paper.rows import Row, baseline, hg_gnn, measured, metric_table
from segue.paper.sheet import Sheet, with_theirs
from segue.report import charts
from segue.report.table import Cell, Table
from segue.settings import Nested

BRIEF: Nested = {"training": {"max_epochs": 1, "threads": 1}}


def brief(out: Path, **named: Any) -> Plan:
    return Plan(small_logs.corpus(), out, quick=True, own=BRIEF, **named)


def row_of(metrics: dict[str, float], run: Path = Path(), tuned: dict[str, Any] | None = None) -> Row:
    """A row that measured this, with one seed."""
    measurement = Measurement(
        "test", "user_80_20", "frozen", "x/y", "", 1, 1, 1, metrics, metrics, metrics, {}, False, "", {}, {}
    )
    entry = Entry(tuned or {}, 0, 0.0, 0.0, {"model": {"name": "x", "preset": "y"}})
    return Row(EntrantRow(entry, (run,), (measurement,), (), 0))


def rows_of(**values: float) -> dict[str, Row]:
    return {label: row_of(dict.fromkeys(METRICS, value)) for label, value in values.items()}


def test_the_papers_numbers_agree_with_the_papers_improvements() -> None:
    """Its Table 2 prints the improvements too, which no slip of a digit would survive."""
    printed = {
        "Last.fm": ("1.00", "6.07", None, None),
        "Xing": ("1.59", None, "2.09", "5.44"),
        "Reddit": ("4.03", "3.92", "5.72", "6.56"),
    }
    for data_set, improvements in printed.items():
        for place, improvement in enumerate(improvements):
            ours = float(paper.COMPARISON["HG-GNN"][data_set][place])
            best = max(float(paper.COMPARISON[label][data_set][place]) for label in comparison.BASELINES)
            if improvement is None:
                assert ours < best
            else:
                assert 100 * (ours - best) / best == pytest.approx(float(improvement), abs=0.006)


def test_the_papers_ablations_are_of_the_model_of_its_comparison() -> None:
    whole = paper.COMPARISON["HG-GNN"]
    assert paper.LAYERS["HG-GNN"] == {name: whole[name] for name in ("Last.fm", "Xing")}
    assert paper.GRAPH["HG-GNN"] == {"Xing": whole["Xing"]}


def test_a_run_that_fails_is_a_row_with_its_reason(tmp_path: Path) -> None:
    wrong: Nested = {"model": {"name": "markov", "order": "\nno"}}
    rows = measured(
        brief(tmp_path), {"none": [baseline("no_such_model")], "wrong": [wrong], "Markov": [baseline("markov")]}
    )
    assert rows["none"].reason.startswith("unknown model 'no_such_model'")
    assert rows["wrong"].reason.startswith("unknown setting 'model.order'")
    table = metric_table(rows)
    assert table.columns[-1] == "not measured because"
    assert [cell.text for cell in table.rows["none"]] == ["–"] * 4 + [rows["none"].reason]
    assert table.rows["Markov"][-1].text == ""
    with pytest.raises(UserMistake, match=r"no model could be measured; none: unknown model"):
        measured(brief(tmp_path), {"none": [baseline("no_such_model")], "wrong": [wrong]})


def test_a_model_whose_needs_are_not_met_says_so(tmp_path: Path) -> None:
    wish = hg_gnn(graph={"attributes": ["item.colour"]})
    rows = measured(brief(tmp_path), {"attributes": [wish], "Markov": [baseline("markov")]})
    assert "colour" in rows["attributes"].reason
    assert rows["Markov"].value("HR@10") is not None


def test_runs_with_other_settings_do_not_share_a_folder(tmp_path: Path) -> None:
    rows = measured(brief(tmp_path), {"a": [hg_gnn()], "b": [hg_gnn(graph={"sample_size": 3})], "c": [hg_gnn()]})
    folders = {label: row.measured.runs[0] for label, row in rows.items() if row.measured}
    assert folders["a"] == folders["c"] != folders["b"]


def test_a_model_without_chance_is_fitted_once(tmp_path: Path) -> None:
    rows = measured(brief(tmp_path, seeds=2), {"Markov": [baseline("markov")], "HG-GNN": [hg_gnn()]})
    assert {label: len(row.as_dict()["seeds"]) for label, row in rows.items()} == {"Markov": 1, "HG-GNN": 2}
    assert "±" in metric_table(rows).rows["HG-GNN"][0].text


def test_the_best_of_a_column_is_marked() -> None:
    table = metric_table({**rows_of(a=0.25, b=0.5), "c": Row(reason="broken")})
    assert [cell.mark for row in table.rows.values() for cell in row[:1]] == ["", "best", ""]
    assert table.rows["b"][0].text == "50.00"


def with_ranks(folder: Path, ranks: dict[str, list[int]], tuned: dict[str, Any] | None = None) -> Row:
    """A measured row whose ranks file says this of each user."""
    (folder / "evaluation").mkdir(parents=True)
    table = {
        "user": [user for user, own in ranks.items() for _ in own],
        "rank": [r for own in ranks.values() for r in own],
    }
    pq.write_table(pa.table(table), folder / "evaluation" / "test.ranks.parquet")
    rank = np.array(table["rank"])
    metrics = {f"HR@{k}": float((rank <= k).mean()) for k in (5, 10)}
    metrics |= {f"MRR@{k}": float(np.where(rank <= k, 1 / rank, 0).mean()) for k in (5, 10)}
    return row_of(metrics, folder, tuned)


def test_the_improvement_is_over_the_best_baseline_and_the_dagger_over_users(tmp_path: Path) -> None:
    users = [f"u{number}" for number in range(9)]
    ours = with_ranks(tmp_path / "ours", {user: [1, 1 + number % 3] for number, user in enumerate(users)})
    tuned = {"model.dim": 64, "training.learning_rate": 0.00123456}
    near = with_ranks(tmp_path / "near", {user: [2, 4 + number % 2] for number, user in enumerate(users)}, tuned)
    far = with_ranks(tmp_path / "far", {user: [9, 30] for user in users})
    rows = {label: Row(reason="missing") for label in comparison.BASELINES}
    rows |= {"SR-GNN": near, "NARM": far, "HG-GNN": ours}
    found = comparison._improvements(rows)
    assert {one.best for one in found.values()} == {"SR-GNN"}
    before, after = near.value("MRR@10"), ours.value("MRR@10")
    assert before is not None
    assert after is not None
    assert found["MRR@10"].by == pytest.approx((after - before) / before)
    apart = [(1 + 1 / (1 + n % 3)) / 2 - (1 / 2 + 1 / (4 + n % 2)) / 2 for n in range(9)]
    assert found["MRR@10"].p == pytest.approx(stats.ttest_1samp(apart, 0).pvalue)
    table = comparison._table(rows, found)
    assert table.rows["HG-GNN"][3].text.endswith("†")
    assert not table.rows["HG-GNN"][0].text.endswith("†")  # both hit within five, always
    assert table.rows["SR-GNN"][3].text.endswith("*")
    assert not table.rows["NARM"][3].text.endswith("*")
    assert table.rows["SR-GNN"][4].text == "preset y, dim 64, learning_rate 0.00123"
    assert table.rows["Improv."][3].text == f"{100 * (after - before) / before:+.2f}%"
    worse = comparison._improvements({**rows, "HG-GNN": near, "SR-GNN": ours})
    assert worse["MRR@10"].p == pytest.approx(found["MRR@10"].p)
    assert not worse["MRR@10"].significant


def test_the_papers_grid_is_searched_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def few(protocol: str) -> dict[str, list[Nested]]:
        missing = {label: [baseline("no_such_model")] for label in comparison.BASELINES}
        return {**missing, "Item-KNN": [baseline("item_knn")], "HG-GNN": [hg_gnn()]}

    monkeypatch.setattr(comparison, "_candidates", few)
    sheet = comparison.comparison(brief(tmp_path), "paper", trials=2)
    tuned = sheet.facts["rows"]["HG-GNN"]["tuned"]
    assert set(tuned) == {"model.dim", "training.learning_rate", "model.layers"}
    assert tuned["model.dim"] in (32, 64, 96, 128, 256)
    used = sheet.facts["rows"]["HG-GNN"]["settings"]
    assert used["model"]["dim"] == tuned["model.dim"]
    assert used["training"]["batch_events"] == 512
    assert f"dim {tuned['model.dim']}" in sheet.tables[0].rows["HG-GNN"][4].text
    assert "the paper's grid" in " ".join(sheet.caption)
    assert "at most 2 trials" in " ".join(sheet.caption)


def test_the_better_of_two_presets_is_the_row_and_is_fitted_as_it_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both: list[Nested] = [{"model": {"name": name}} for name in ("popularity", "markov", "no_such_model")]
    trained = {"model": {"name": "hg_gnn", "preset": "paper", "dim": 8}}

    def few(protocol: str) -> dict[str, list[Nested]]:
        missing = {label: [baseline("no_such_model")] for label in comparison.BASELINES}
        return {**missing, "GRU4Rec": both, "HG-GNN": [trained]}

    monkeypatch.setattr(comparison, "_candidates", few)
    full = Plan(small_logs.corpus(), tmp_path, own={"training": {"max_epochs": 2, "threads": 1}})
    sheet = comparison.comparison(full, "tuned", trials=2)
    values = {}
    for folder in [*(tmp_path / "tuning").glob("popularity-*"), *(tmp_path / "tuning").glob("markov-*")]:
        facts = json.loads((folder / "trials.json").read_text(encoding="utf-8"))
        values[facts["model"].partition("/")[0]] = max(trial["value"] for trial in facts["trials"])
    assert values["markov"] > values["popularity"]
    assert sheet.facts["rows"]["GRU4Rec"]["settings"]["model"]["name"] == "markov"
    (found,) = (tmp_path / "tuning").glob("hg-gnn-*")
    chosen = [json.loads(line) for line in (found / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    run = Path(sheet.facts["rows"]["HG-GNN"]["seeds"][0]["training"]["model"])
    played = [json.loads(line) for line in (run / "refit.jsonl").read_text(encoding="utf-8").splitlines()]
    assert not (run / "metrics.jsonl").exists(), "nothing is selected again"
    assert len(played) == max(epoch["epoch"] for epoch in chosen if epoch["best"])


def test_every_row_of_the_comparison_is_a_model() -> None:
    for protocol in ("preset", "tuned", "paper"):
        for candidates in comparison._candidates(protocol).values():
            for own in candidates:
                models.with_preset(own)


def test_the_timing_is_of_equal_sizes_and_means_over_epochs(tmp_path: Path) -> None:
    sheet = timing.runtime(Plan(small_logs.corpus(), tmp_path, own={"training": {"threads": 1}}))
    facts = sheet.facts["rows"]["HG-GNN"]
    assert facts["settings"]["model"]["dim"] == 128
    assert facts["settings"]["training"]["batch_events"] == 512
    assert facts["epochs"] == len(facts["epoch_records"]) == 10
    mean = sum(record["seconds"] for record in facts["epoch_records"]) / 10
    assert facts["seconds_per_epoch"] + facts["collating"] == pytest.approx(mean)
    assert 0 < facts["collating"] < mean
    assert all(not record["validation"] for record in facts["epoch_records"])
    corpus = load(small_logs.corpus())
    assert facts["test_events"] == int((corpus.select(TEST).lengths - 1).sum())
    assert facts["events_per_epoch"] == int((corpus.train.lengths - 1).sum())
    assert not list((tmp_path / "timing").glob("*.partial"))
    assert timing.runtime(Plan(small_logs.corpus(), tmp_path, own={"training": {"threads": 1}})) == sheet


def test_the_users_of_figure_5_overlap_and_differ() -> None:
    """Users 0 and 2 begin their last session alike and liked other things; 0 and 1 liked the same."""
    liked = {0: [3, 4, 5, 3, 4, 5], 1: [3, 4, 5, 3, 4, 5], 2: [6, 7, 8, 6, 7, 8], 3: [9, 10, 9, 10, 9]}
    last = {0: [0, 1, 3], 1: [0, 1, 4], 2: [1, 0, 6], 3: [2, 9, 10]}
    corpus = corpus_of([[liked[user], last[user]] for user in range(4)], [[TRAIN, TEST]] * 4)
    pair = similar_sessions(corpus)
    assert 2 in pair.users
    assert set(pair.users) < {0, 1, 2}
    assert {frozenset(prefix) for prefix in pair.prefixes} == {frozenset({0, 1})}
    assert pair.overlap == 1.0
    assert pair.taste == 0.0
    assert {corpus.user_ids[user][-1]: target for user, target in zip(pair.users, pair.targets, strict=True)}["2"] == 6


def test_a_short_history_is_no_taste_and_a_single_item_no_session() -> None:
    """Users 0 and 1 overlap as much as 1 and 2 and would differ more; but 0 has hardly been seen."""
    liked = {0: [9, 10], 1: [3, 4, 5] * 4, 2: [3, 6, 7] * 4, 3: [8, 6, 7] * 4}
    last = {0: [0, 1, 3], 1: [0, 1, 4], 2: [1, 0, 6], 3: [0, 1]}
    corpus = corpus_of([[liked[user], last[user]] for user in range(4)], [[TRAIN, TEST]] * 4)
    assert set(similar_sessions(corpus).users) == {1, 2}


def test_overlap_and_taste_are_what_they_say() -> None:
    corpus = corpus_of([[[2, 3, 3, 4], [0, 1, 2]], [[3, 3, 5], [1, 0, 5, 6]]], [[TRAIN, TEST]] * 2)
    pair = similar_sessions(corpus)
    assert pair.overlap == pytest.approx(2 / 3)
    assert pair.taste == pytest.approx(4 / (6**0.5 * 5**0.5))


def test_a_corpus_without_overlapping_sessions_is_refused() -> None:
    corpus = corpus_of([[[0, 1, 4], [0, 1, 4]], [[2, 3, 5], [2, 3, 5]]], [[TRAIN, TEST]] * 2)
    with pytest.raises(UserMistake, match="no two users"):
        similar_sessions(corpus)


def test_the_quick_form_draws_users_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "QUICK_USERS", 5)
    quick = brief(tmp_path)
    assert load(quick.corpus).n_users == 5
    assert "users drawn by seed 0: 5 users" in " ".join(quick.data_caption())
    stamp = (quick.corpus / "manifest.json").stat().st_mtime_ns
    assert (brief(tmp_path).corpus / "manifest.json").stat().st_mtime_ns == stamp
    assert Plan(small_logs.corpus(), tmp_path).corpus == small_logs.corpus()


def test_on_the_papers_data_its_numbers_are_columns() -> None:
    ours = metric_table(rows_of(**{"w/o in edges": 0.2, "HG-GNN": 0.1}))
    (beside,) = with_theirs(ours, paper.GRAPH, METRICS, "xing")
    assert beside.columns[-4:] == tuple(f"the paper's {name}" for name in METRICS)
    assert beside.rows["HG-GNN"][-4:] == [Cell(text, "theirs") for text in ("17.25", "20.30", "12.23", "12.79")]
    for source in ("lastfm", None):  # Table 5 is of Xing alone
        above, below = with_theirs(ours, paper.GRAPH, METRICS, source)
        assert above == ours
        assert below.rows["w/o out edges"][1] == Cell("20.00", "theirs")


def test_a_sheet_marks_and_escapes(tmp_path: Path) -> None:
    cells = [Cell("1.00*", "best"), Cell("a|b <i>", "personal"), Cell("2", "theirs")]
    chart = charts.value_line([(4, 10.0), (8, 12.0)], "S")
    sheet = Sheet("t", "T", ("One.",), (Table(("m", "x", "y", "z"), {"row": cells}),), {"n": 1}, {"by S": chart})
    assert "| row | **1.00\\*** | *a\\|b &lt;i>* | *2* |" in sheet.markdown()
    html = sheet.html()
    assert '<td class="number best">1.00*</td>' in html
    assert '<td class="personal">a|b &lt;i&gt;</td>' in html
    assert '<td class="number theirs">2</td>' in html
    sheet.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.html", "t.json", "t.md", "t.svg"]
    assert json.loads((tmp_path / "t.json").read_text(encoding="utf-8")) == sheet.as_dict()


def test_a_line_shows_every_point() -> None:
    spec = charts.value_line([(4, 10.0), (8, 12.0)], "S")
    (values,) = spec["datasets"].values()
    assert values == [{"x": 4, "value": 10.0}, {"x": 8, "value": 12.0}]


def test_different_events_cannot_share_a_table(tmp_path: Path) -> None:
    wanted = {"a": [baseline("markov")], "b": [baseline("item_knn")]}
    rows = measured(brief(tmp_path), wanted)
    assert rows["a"].measured is not None
    path = rows["a"].measured.runs[0] / "evaluation" / "test.json"
    path.write_text(path.read_text().replace('"event_hash": "', '"event_hash": "0'))
    with pytest.raises(UserMistake, match="different events"):
        measured(brief(tmp_path), wanted)


def test_busy_worlds_have_a_case() -> None:
    pair = similar_sessions(busy())
    assert pair.users[0] != pair.users[1]
    assert set(pair.prefixes[0]) & set(pair.prefixes[1])
