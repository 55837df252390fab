"""Wrong settings, settings files, options and commands: one line, exit code 2, nothing written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import small_logs
from mistakes import SETTINGS, Refused, written

from segue.cli import app as cli
from segue.nn import item_weights

SETTINGS_MISTAKES = {
    "training.patiense=3": r"unknown setting 'training\.patiense': did you mean 'patience'\?",
    "trainin.seed=3": r"unknown section 'trainin': did you mean 'training'\?",
    "model.dimm=3": r"unknown setting 'model\.dimm': did you mean 'dim'\?",
    "model.name=hg_gn": r"unknown model 'hg_gn': did you mean 'hg_gnn'\?",
    "model.preset=papr": r"unknown preset 'papr' of model 'hg_gnn': did you mean 'paper'\?",
    "training.max_epochs=many": r"'training\.max_epochs': .*integer.*found 'many'",
    "training.max_epochs=0": r"'training\.max_epochs': .*greater than or equal to 1, found 0",
    "sessions.gap=8": r"'sessions\.gap': .*found 8",
    "sessions.gap=8 hours": r"'sessions\.gap': .*units ms, s, min, h, d.*found '8 hours'",
    "split.test=1.5": r"'split\.test': .*less than 1, found 1\.5",
    "training.device=gpu": r"'training\.device': use auto, cpu or cuda .*, found 'gpu'",
    "training.seed=1979-05-27": r"'training\.seed'",
    "training.device=meta": r"'training\.device': use auto, cpu or cuda .*, found 'meta'",
    "training.threads=100000": r"'training\.threads': .*less than or equal to 1024, found 100000",
    "training.learning_rate=inf": r"'training\.learning_rate': .*finite number, found inf",
    "evaluation.mask_session=maybe": r"'evaluation\.mask_session': expected auto, true or false, found 'maybe'",
    "split.test=1e-300": r"'split\.test': a share must lie between 1e-09 and .*, found 1e-300",
    "model.dim=1e11": r"'model\.dim': .*less than or equal to \d+, found 1e?",
    "model.window.lenght=2": r"unknown setting 'model\.window\.lenght': did you mean 'length'",
    "model.dim=0": r"'model\.dim': .*greater than or equal to 1, found 0",
    "seed=3": r"--set 'seed=3': expected SECTION\.KEY=VALUE",
    "training.seed": r"--set 'training\.seed': expected SECTION\.KEY=VALUE",
    'graph.attributes=["item.colour"]': r"colour",
}


@pytest.mark.parametrize("assignment", SETTINGS_MISTAKES)
def test_settings_mistakes(tmp_path: Path, refused: Refused, assignment: str) -> None:
    says = SETTINGS_MISTAKES[assignment]
    said = refused("train", small_logs.corpus(), "--out", tmp_path / "m", "--set", assignment)
    if "was fixed" not in said:
        assert re.search(says, said), said
    said = refused("fit", small_logs.log(), "--out", tmp_path / "m", *SETTINGS, "--set", assignment)
    assert re.search(says, said), said


TOML = {
    "broken": ("[training\nseed = 1", r"is not valid TOML: .*line 1"),
    "no section": ("seed = 1", r"'seed' stands outside a section"),
    "not UTF-8": (b"[model]\nname = '\xe9'", r"is not UTF-8 text"),
    "unknown key": (
        "[filters]\nmin_items = 3",
        r"unknown setting 'filters\.min_items': did you mean 'min_item_support'",
    ),
    "wrong type": ("[training]\npatience = 'often'", r"'training\.patience': .*found 'often'"),
    "a name of 20,000 parts": (
        "[training]\n" + ".".join(["a"] * 20_000) + " = 1",
        r"line 2: more than 20 names are joined",
    ),
    "a quoted name of 20,000 parts": ("'a' . " * 20_000 + "x = 1", r"line 1: more than 20 names are joined"),
    "20,000 names": (
        "[training]\n" + "".join(f"a{n}.b.c = 1\n" for n in range(20_000)),
        r"unknown setting 'training\.a0'",
    ),
    "deep brackets": ("[training]\nseed = " + "[" * 100_000, r"brackets are nested too deeply"),
    "deep tables": ("[training]\nseed = " + "{a=" * 100_000, r"brackets are nested too deeply"),
    "many digits": ("[training]\nseed = " + "9" * 5_000, r"is not valid TOML: .*digits"),
    "too large": ("# " + "x" * (1 << 20), r"cannot read .*it is larger than 1,048,576 bytes"),
    "a table for a value": ("[training.seed]\nx = 1", r"'training\.seed'"),
}


@pytest.mark.parametrize("name", TOML)
def test_settings_file_mistakes(tmp_path: Path, refused: Refused, name: str) -> None:
    text, says = TOML[name]
    file = written(tmp_path / "shop.toml", text)
    for command in (
        ("check", small_logs.log()), ("prepare", small_logs.log(), "--out", tmp_path / "c"),
        ("train", small_logs.corpus(), "--out", tmp_path / "m"), ("fit", small_logs.log(), "--out", tmp_path / "m"),
        ("evaluate", small_logs.fitted_model()), ("recommend", small_logs.fitted_model()),
        ("stats", small_logs.corpus()),
    ):  # fmt: skip
        said = refused(*command, "--config", file)
        assert re.search(says, said), (command, said)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full", "/dev/null"])
def test_a_settings_file_that_is_none(refused: Refused, device: str) -> None:
    assert "it is a device, not a file" in refused("check", small_logs.log(), "--config", device)
    model = small_logs.fitted_model()
    assert "it is a device, not a file" in refused("recommend", model, "--candidates", device)


def test_an_assignment_of_many_parts(refused: Refused) -> None:
    said = refused("check", small_logs.log(), "--set", ".".join(["a"] * 20_000) + "=1")
    assert "expected SECTION.KEY=VALUE" in said
    assert len(said) < 300
    said = refused("check", small_logs.log(), "--set", "training.seed={" + ".".join(["a"] * 20_000) + "=1}")
    assert "'training.seed'" in said


def test_a_settings_file_that_is_not_there(tmp_path: Path, refused: Refused) -> None:
    said = refused("check", small_logs.log(), "--config", tmp_path / "nowhere.toml")
    assert re.search(r"cannot read the settings file .*nowhere\.toml: No such file", said)


USAGE = {
    ("--nope",): r"No such option: --nope",
    ("fitt",): r"No such command 'fitt'",
    ("train",): r"Missing argument 'corpus'.*segue train --help",
    ("train", "c"): r"Missing option '--out'",
    ("train", "c", "--out"): r"'--out' requires an argument",
    ("train", "c", "--out", "m", "--resum"): r"No such option: --resum.*--resume",
    ("train", "c", "d", "--out", "m"): r"unexpected extra argument",
    ("recommend", "m", "-k", "ten"): r"Invalid value for '-k'",
    ("evaluate", "m", "--split", "train"): r"'test', 'validation'",
    ("recommend", "m", "--exclude-seen", "all"): r"'session', 'history'",
    ("recommend", "m", "--user", "a", "--user", "b"): r"Option '--user' is given 2 times and takes one value",
    ("recommend", "m", "--items", "a", "--items=b", "--json"): r"Option '--items' is given 2 times",
}


@pytest.mark.parametrize("arguments", USAGE)
def test_unknown_options_and_commands(refused: Refused, arguments: tuple[str, ...]) -> None:
    said = refused(*arguments)
    assert re.search(USAGE[arguments], said), said
    assert re.search(r"; see segue( \w+)? --help$", said)


def test_more_items_than_memory_holds_pairs_of_and_the_remedy(
    tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_weights, "memory_limit", lambda: 4 * 8 * 20**2)
    said = refused("train", small_logs.corpus(), "--out", tmp_path / "m", "--set", "model.name=ease")
    assert re.match(r"EASE solves for all pairs of 32 items, which takes 32,768 bytes of memory, .* 12,800;", said)
    (remedy,) = re.findall(r"prepare the corpus with (--set \S+),", said)
    smaller = [str(tmp_path / "smaller"), *remedy.split()]
    assert cli.run(["prepare", str(small_logs.log()), *SETTINGS, "--out", *smaller]) == 0
    assert cli.run(["train", smaller[0], "--out", str(tmp_path / "m"), "--set", "model.name=ease"]) == 0
