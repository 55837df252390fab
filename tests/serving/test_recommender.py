"""Requests and answers: who asks, what may be shown, and a reason that adds up."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import runs
import small_logs
import torch
from served import KNOWN, OTHER, counting, everything, ids, model, scores

import segue
from segue.errors import ArtifactError
from segue.serving.recommender import Recommender
from segue.settings import Nested


def test_a_known_user_gets_their_own_taste() -> None:
    session = ["first3", "second3"]
    for user, wanted in ((KNOWN, "a3"), (OTHER, "b3")):
        answer = model().recommend(user, session, k=5)
        assert answer.user_known
        assert (answer.skipped, answer.warnings) == ((), ())
        assert ids(answer)[0] == wanted
        assert len(answer) == 5


def test_a_new_user_is_known_by_their_history() -> None:
    taste_b = [item for _, item, _ in small_logs.rows() if item.startswith("b")][:20]
    session = ["first3", "second3"]
    new = model().recommend("nobody", session, history=taste_b)
    assert not new.user_known
    assert scores(new) != scores(model().recommend(None, session))
    assert scores(new) != scores(model().recommend("nobody", session, history=[i.replace("b", "a") for i in taste_b]))
    ranked = everything("nobody", session, history=taste_b)
    assert ranked["b3"] > ranked["a3"]


def test_given_history_stands_in_for_the_stored_one() -> None:
    session, history = ["first3", "second3"], ["b1", "b2", "b1"]
    answer = model().recommend(KNOWN, session, history=history)
    assert answer.user_known
    assert scores(answer) != scores(model().recommend(KNOWN, session))


def test_an_unknown_user_is_an_anonymous_one() -> None:
    session = ["first3", "second3"]
    unknown, anonymous = model().recommend("nobody", session), model().recommend(None, session)
    assert unknown.items == anonymous.items
    assert not unknown.user_known
    assert not anonymous.user_known
    assert unknown.warnings == ("user 'nobody' is unknown to the model: answered as an anonymous session",)
    assert anonymous.warnings == ()


def test_an_empty_session_starts_from_the_history() -> None:
    answer = model().recommend(KNOWN)
    assert answer.user_known
    assert answer.warnings == ("the session is empty: it starts from the user's last history items",)
    last = model().artifact.history
    own = last.items[last.offsets[np.searchsorted(last.user, 1)] - 20 : last.offsets[np.searchsorted(last.user, 1)]]
    shown = [model().artifact.items.column("item_id")[int(item)].as_py() for item in own]
    assert [part["item"] for part in answer[0].because["session"]] == shown
    assert scores(answer) != scores(model().recommend(OTHER))


def test_a_history_of_items_starts_an_empty_session() -> None:
    answer = model().recommend(None, [], history=["first3", "second3"])
    assert [part["item"] for part in answer[0].because["session"]] == ["first3", "second3"]
    assert len(answer.warnings) == 1


@pytest.mark.parametrize("user", [None, "nobody"])
@pytest.mark.parametrize("items", [[], ["not sold here"]])
def test_nothing_known_is_popularity_and_says_so(user: str | None, items: list[str]) -> None:
    answer = model().recommend(user, items, k=4)
    train = model().artifact.history.items
    count = np.bincount(train, minlength=len(model().artifact.items))
    order = np.argsort(-count, kind="stable")[:4]
    assert ids(answer) == [model().artifact.items.column("item_id")[int(item)].as_py() for item in order]
    assert [entry.score for entry in answer] == count[order].tolist()
    assert answer.warnings[-1] == "nothing is known of this session or user: these are the most popular items"
    assert len(answer.warnings) == (1 if user is None else 2)
    assert answer.skipped == tuple(items)
    assert {entry.because["text"] for entry in answer} == {"popular with everybody"}


@pytest.mark.parametrize(("user", "history"), [(KNOWN, []), (KNOWN, ["not sold here"]), ("nobody", []), (None, [])])
def test_an_empty_history_says_what_is_missing(user: str | None, history: list[str]) -> None:
    answer = model().recommend(user, [], history=history)
    assert answer.user_known is (user == KNOWN)
    assert answer.warnings[-1] == (
        "neither the session nor the history holds an item that the model knows: these are the most popular items"
    )


def test_unknown_items_are_skipped_and_named() -> None:
    answer = model().recommend(KNOWN, ["x", "first3", "y", "second3", "x"])
    assert answer.skipped == ("x", "y", "x")
    assert scores(answer) == scores(model().recommend(KNOWN, ["first3", "second3"]))
    assert model().recommend(None, ["first3"], history=["z", "a1"]).skipped == ("z",)


def test_only_the_last_items_of_a_long_session_count() -> None:
    window = model().model.length
    tail = ["first3", "second3"] * (window // 2)
    long, short = model().recommend(KNOWN, ["b1", "b2", *tail]), model().recommend(KNOWN, tail)
    assert scores(long) == scores(short)
    assert len(long[0].because["session"]) == window


def test_excluded_items_are_not_shown() -> None:
    session = ["first3", "second3"]
    full = ids(model().recommend(KNOWN, session, k=6))
    assert ids(model().recommend(KNOWN, session, k=4, exclude=[full[0], full[2], "not sold here"])) == [
        full[1], *full[3:6],
    ]  # fmt: skip


def test_nothing_is_excluded_by_default() -> None:
    session = ["first3", "second3"]
    assert set(session) < set(everything(KNOWN, session))
    assert set(everything(KNOWN, session)) == set(model().artifact.items.column("item_id").to_pylist())


def test_seen_items_can_be_left_out() -> None:
    session = ["first3", "b3"]
    assert set(everything(KNOWN, session, exclude_seen="session")) == set(everything(KNOWN, session)) - set(session)
    left = set(everything(KNOWN, session, exclude_seen="history"))
    assert left == {f"b{topic}" for topic in range(small_logs.TOPICS)} - {"b3"}


def test_an_empty_session_has_seen_nothing_itself() -> None:
    assert len(everything(KNOWN, [], exclude_seen="session")) == len(model().artifact.items)


def test_candidates_are_the_only_ones() -> None:
    answer = model().recommend(KNOWN, ["first3"], k=2, candidates=["b3", "a3", "second3", "a3"])
    full = everything(KNOWN, ["first3"])
    assert ids(answer) == sorted(["b3", "a3", "second3"], key=lambda item: -full[item])[:2]
    assert answer.warnings == ()


def test_unknown_candidates_are_warned_of() -> None:
    answer = model().recommend(KNOWN, ["first3"], k=1, candidates=["b3", "x", "y"])
    assert ids(answer) == ["b3"]
    assert answer.warnings == ("2 of 3 candidates are unknown to the model: 'x', 'y'",)
    assert answer.skipped == ()


def test_fewer_eligible_items_than_asked_for() -> None:
    answer = model().recommend(KNOWN, ["first3"], k=3, candidates=["b3", "a3"], exclude=["a3"])
    assert ids(answer) == ["b3"]
    assert answer.warnings == ("only 1 items are eligible, 3 were asked for",)
    nothing = model().recommend(KNOWN, ["first3"], candidates=[])
    assert (len(nothing), nothing.warnings) == (0, ("only 0 items are eligible, 10 were asked for",))
    most = model().recommend(KNOWN, ["first3"], k=10_000)
    assert len(most) == len(model().artifact.items)
    assert len(most.warnings) == 1


def test_best_first_and_no_item_twice() -> None:
    for user, session in ((KNOWN, ["first3", "first3"]), (None, ["b1"]), (KNOWN, [])):
        answer = model().recommend(user, session, k=100)
        assert len(set(ids(answer))) == len(answer)
        found = [entry.score for entry in answer]
        assert found == sorted(found, reverse=True)


def test_equal_scores_stand_in_the_order_of_ids() -> None:
    answer = counting("popularity", "session").recommend(None, ["second1", "a1"], k=100)
    keys = [(-entry.score, entry.item) for entry in answer]
    assert keys == sorted(keys)
    assert len({entry.score for entry in answer}) < len(answer)


def test_midnight_of_1970_is_a_time_like_any_other(tmp_path: Path) -> None:
    decaying: Nested = {"model": {"name": "popularity", "preset": "personal", "half_life": "1d"}}
    recommender = segue.load(runs.train(small_logs.corpus(), tmp_path / "m", decaying))
    begin, soon, late = (scores(recommender.recommend(KNOWN, ["first3"], k=32, time=t)) for t in (0, 1, None))
    assert begin == soon != late


def test_names_come_from_the_items_file() -> None:
    assert model().name("a3") == "The [a3]"
    assert model().name("a0") == "a0"
    assert model().name("not sold here") == "not sold here"


def test_whole_numbers_will_do_as_ids(tmp_path: Path) -> None:
    rows = [
        (number + 100, item, 1_700_000_000 + 90_000 * visit + 60 * place)
        for number in range(3)
        for visit in range(6)
        for place, item in enumerate((7, 8 + number, 20 + visit % 2))
    ]
    log = small_logs.write_csv(tmp_path / "log.csv", rows)
    with_numbers = segue.fit(log, small_logs.with_settings(training={"max_epochs": 1}), out=tmp_path / "m")
    as_text = with_numbers.recommend("101", ["7", "9"], exclude=["8"])
    assert with_numbers.recommend(101, [7, 9], exclude=[8]) == as_text  # type: ignore[arg-type, list-item]
    assert with_numbers.recommend(np.int64(101), np.array([7, 9]), exclude=[8]) == as_text  # type: ignore[arg-type]
    assert as_text.user_known
    assert as_text.skipped == ()


def test_answers_are_the_same_every_time() -> None:
    first = model().recommend(KNOWN, ["first3", "second3"])
    torch.manual_seed(7)
    assert segue.load(small_logs.fitted_model()).recommend(KNOWN, ["first3", "second3"]) == first


def test_a_saved_copy_answers_alike(tmp_path: Path) -> None:
    model().save(tmp_path / "deep" / "copy")
    copy = segue.load(tmp_path / "deep" / "copy")
    assert copy.recommend(KNOWN, ["first3"]) == model().recommend(KNOWN, ["first3"])
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["copy"]


def test_saving_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "notes.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="exists already"):
        model().save(tmp_path / "copy")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ArtifactError, match="cannot write"):
        model().save(tmp_path / "file" / "copy")
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["notes.txt"]


def test_the_ids_of_the_frame_that_was_fitted_are_known() -> None:
    users, items, times = zip(*small_logs.rows(), strict=True)
    number = {name: float(place) for place, name in enumerate(sorted({*users, *items}))}
    frame = pd.DataFrame(
        {
            "user_id": [number[user] for user in users],
            "item_id": [Decimal(int(number[item])) for item in items],
            "timestamp": times,
        }
    )
    fitted = segue.fit(frame, {"model": {"name": "item_knn"}})
    user, item = frame.user_id[0], frame.item_id[0]
    for asked_user, asked_item in ((user, item), (np.float32(user), np.int64(item)), (int(user), float(item))):
        answer = fitted.recommend(asked_user, [asked_item], exclude=[asked_item], candidates=list(frame.item_id[:40]))
        assert (answer.user_known, answer.skipped) == (True, ())
        assert fitted.recommend(asked_user, [asked_item]) == fitted.recommend(str(int(user)), [str(item)])
        assert str(item) not in ids(answer)
        assert len(answer)


def test_without_a_time_the_present_is_the_end_of_train_but_for_stray_events() -> None:
    loaded = counting("popularity", "personal")
    artifact = loaded.artifact
    times = artifact.history.times
    assert loaded._reader.trained_until == times.max()
    stray = np.append(times[1:], times.max() + 9000 * 86_400_000)
    moved = replace(artifact, history=replace(artifact.history, times=stray))
    assert Recommender(moved, loaded.model)._reader.trained_until == times[1:].max()
