"""What each of several processes does in tests, and what one process does alone for comparison."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import runs
import small_logs
import torch
import worlds
from safetensors.torch import save_file
from torch import Tensor
from training_runs import busy

from segue import models
from segue.contract.model import SessionEncoder
from segue.data.corpus import Corpus, Part
from segue.distributed.launch import joined
from segue.distributed.processes import ALONE, Processes
from segue.errors import UserMistake
from segue.evaluation.full_ranking import evaluate
from segue.pipeline.fit import Options, train
from segue.pipeline.settings import settings_for_corpus
from segue.settings import EvaluationSettings, Nested, merged
from segue.training.trainer import Trainer

ENCODERS = [name for name in models.names() if issubclass(models.load(name), SessionEncoder)]
CASES = [(name, preset) for name in ENCODERS for preset in models.load(name).presets]
PACE = {"batch_events": 20, "epoch_steps": 0, "pass_steps": 0, "max_epochs": 1, "learning_rate": 0.01}


def play(program: Callable[[Processes, Path], None], folder: str) -> None:
    torch.set_num_threads(1)
    with joined() as processes:
        program(processes, Path(folder))


def without_chance(name: str, preset: str) -> Nested:
    """A small model in which nothing is drawn for single rows; sampled items are, for the whole batch."""
    given = worlds.small(name, preset)
    inner = given["model"].get("inner")
    fields = models.load(inner["name"] if inner else name).Config.model_fields
    off = {"mask_users": 0.0} if "mask_users" in fields else {}
    few = {"n_sample": 8} if "n_sample" in fields else {}
    changed = {"inner": {**inner, **off, **few}} if inner else {**off, **few}
    return merged(given, {"model": changed, "training": PACE})


def trained(name: str, preset: str, folder: Path, processes: Processes = ALONE) -> tuple[dict[str, Tensor], list[int]]:
    """The weights after an epoch in double precision, and the events that each step played here."""
    folder.mkdir(parents=True, exist_ok=True)
    corpus = busy(Part.TRAIN, Part.VALIDATION)
    overrides = without_chance(name, preset)
    model = worlds.fitted(overrides, corpus)
    assert isinstance(model, SessionEncoder)
    training = models.with_preset(overrides).training
    trainer = Trainer(model.double(), corpus, training, EvaluationSettings(), folder, processes=processes)
    seen: list[int] = []
    batch = trainer.together.batch

    def watched(*args: object) -> object:
        found = batch(*args)  # type: ignore[arg-type]
        seen.append(0 if found.idle else len(found))
        return found

    trainer.together.batch = watched  # type: ignore[method-assign,assignment]
    trainer.run()
    return {key: tensor.detach() for key, tensor in model.state_dict().items()}, seen


def train_all(processes: Processes, folder: Path) -> None:
    """Every trained model; each process writes its weights and the events it has played."""
    own = folder / str(processes.rank)
    for name, preset in CASES:
        weights, seen = trained(name, preset, own / "runs" / f"{name}-{preset}", processes)
        save_file({key: tensor.contiguous() for key, tensor in weights.items()}, own / f"{name}-{preset}.safetensors")
        (own / f"{name}-{preset}.json").write_text(json.dumps(seen))


def measured_world() -> Corpus:
    """Enough events for several chunks."""
    return worlds.noise(n_items=300, n_users=150)


def measure(processes: Processes, folder: Path) -> None:
    """A network and a counting model, with coverage and discovery; each process writes what it has found."""
    corpus = measured_world()
    found = {}
    for name, preset in (("gru4rec", "full_softmax"), ("markov", "")):
        model = worlds.fitted({"model": {"name": name, **({"preset": preset} if preset else {})}}, corpus)
        how = {"coverage": True, "discover": 0.3, "processes": processes}
        evaluation = evaluate(model, corpus, Part.TEST, **how)  # type: ignore[arg-type]
        found[name] = [evaluation.as_dict(), evaluation.rank.tolist()]
    folder.joinpath(f"{processes.rank}.json").write_text(json.dumps(found))


def make_mistakes(processes: Processes, folder: Path) -> None:
    """Trainings that cannot go on, and one that counts; each process writes what it was told."""
    corpus, first = small_logs.corpus(), processes.first
    other = folder / "other"
    if not first:
        runs.prepare(str(small_logs.log()), other, small_logs.with_settings(filters={"min_item_support": 2}))
    asked: dict[str, tuple[Path, Nested, dict[str, bool]]] = {
        "corpus": (corpus if first else other, {}, {}),
        "settings": (corpus, {"training": {"learning_rate": 0.01 if first else 0.02}}, {}),
        "flags": (corpus, {}, {"refit": first}),
        "missing": (corpus if first else folder / "nowhere", {}, {}),
        "nothing to resume": (corpus, {}, {"resume": True}),
        "diverged": (corpus, {"training": {"learning_rate": 1e30}}, {}),
        "counting": (corpus, {"model": {"name": "popularity"}}, {}),
    }
    told = {}
    for name, (where, overrides, flags) in asked.items():
        settings = settings_for_corpus(corpus, merged(small_logs.SMALL, overrides) if name != "counting" else overrides)
        try:
            train(where, folder / name, settings, Options(**flags, processes=processes))  # type: ignore[arg-type]
            told[name] = ""
        except UserMistake as mistake:
            told[name] = str(mistake)
    folder.joinpath(f"{processes.rank}.json").write_text(json.dumps(told))
