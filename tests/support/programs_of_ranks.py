"""What each of several processes does in tests, and what one process does alone for comparison."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import runs
import small_logs
import torch
import worlds
from safetensors.torch import save_file
from torch import Tensor
from training_runs import busy

from segue import models
from segue.contract.encoder import SessionEncoder
from segue.data.batches import Batch
from segue.data.corpus import Corpus, Part
from segue.distributed.launch import joined
from segue.distributed.processes import ALONE, Processes
from segue.errors import UserMistake
from segue.evaluation.full_ranking import evaluate
from segue.nn.split_table import SplitTable
from segue.pipeline.fit import train
from segue.pipeline.settings import settings_for_corpus
from segue.pipeline.stages import Options
from segue.settings import EvaluationSettings, Nested, merged
from segue.training.state import Progress
from segue.training.trainer import Trainer

ENCODERS = [name for name in models.names() if issubclass(models.load(name), SessionEncoder)]
CASES = [(name, preset) for name in ENCODERS for preset in models.load(name).presets]
SPLITTING = [(name, next(iter(models.load(name).presets))) for name in ("sasrec", "narm", "sr_gnn")]
PACE = {"batch_events": 21, "epoch_steps": 0, "pass_steps": 0, "max_epochs": 1, "learning_rate": 0.01}


def play(program: Callable[[Processes, Path], None], folder: str) -> None:
    torch.set_num_threads(1)
    with joined() as processes:
        program(processes, Path(folder))
    left = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]  # none where there is no /proc
    assert not [name for name in left if "gloo" in name], f"threads of the group are left, and end Python badly: {left}"


def without_chance(name: str, preset: str) -> Nested:
    """A small model in which nothing is drawn for single rows; sampled items are, for the whole batch."""
    given = worlds.small(name, preset)
    inner = given["model"].get("inner")
    fields = models.load(inner["name"] if inner else name).Config.model_fields
    off = {"mask_users": 0.0} if "mask_users" in fields else {}
    few = {"n_sample": 8} if "n_sample" in fields else {}
    changed = {"inner": {**inner, **off, **few}} if inner else {**off, **few}
    return merged(given, {"model": changed, "training": PACE})


def trainer_of(
    name: str, preset: str, folder: Path, processes: Processes = ALONE, *, split: bool = False, **how: Any
) -> Trainer:
    """A training in double precision of a small model, of one epoch."""
    folder.mkdir(parents=True, exist_ok=True)
    corpus = busy(Part.TRAIN, Part.VALIDATION, n_items=13)  # halves of which one is smaller
    overrides = without_chance(name, preset)
    model = worlds.fitted(overrides, corpus)
    assert isinstance(model, SessionEncoder)
    training = models.with_preset(merged(overrides, {"training": {"split_items": split, **how}})).training
    return Trainer(model.double(), corpus, training, EvaluationSettings(), folder, processes=processes)


def trained(name: str, preset: str, folder: Path, processes: Processes = ALONE) -> tuple[dict[str, Tensor], list[int]]:
    """The weights after an epoch, and the events that each step played here."""
    trainer = trainer_of(name, preset, folder, processes)
    seen: list[int] = []
    batch = trainer.together.batch

    def watched(*args: Any) -> Batch:
        found = batch(*args)
        seen.append(0 if found.idle else len(found))
        return found

    trainer.together.batch = watched  # type: ignore[method-assign]
    trainer.run()
    return weights_of(trainer), seen


def weights_of(trainer: Trainer) -> dict[str, Tensor]:
    return {key: tensor.detach().contiguous() for key, tensor in trainer.model.state_dict().items()}


def train_all(processes: Processes, folder: Path) -> None:
    """Every trained model; each process writes its weights and the events it has played."""
    own = folder / str(processes.rank)
    for name, preset in CASES:
        weights, seen = trained(name, preset, own / "runs" / f"{name}-{preset}", processes)
        save_file(weights, own / f"{name}-{preset}.safetensors")
        (own / f"{name}-{preset}.json").write_text(json.dumps(seen))


class Stopped(BaseException):
    """Stands for anything that ends a training without a warning."""


def train_split(processes: Processes, folder: Path) -> None:
    """Every model whose item vectors can be split; then the same stopped in its third step, and resumed."""
    own = folder / str(processes.rank)
    for name, preset in SPLITTING:
        trainer = trainer_of(name, preset, own / "runs" / f"{name}-{preset}", processes, split=True)
        table = trainer.model.split
        assert table is not None
        trainer.run()
        slots = trainer.optimizer.state[table.rows]
        facts = {"rows": len(table.rows), "items": table.n_items, "dim": table.dim}
        kept = sum(slot.numel() for slot in slots.values() if slot.dim() == 2)
        (own / f"{name}-{preset}.json").write_text(json.dumps({**facts, "kept": kept}))
        save_file(weights_of(trainer), own / f"{name}-{preset}.safetensors")
        where, how = own / "stopped" / f"{name}-{preset}", {"split": True, "checkpoint_minutes": 0}
        stopped = trainer_of(name, preset, where, processes, **how)
        stopped._progress = _stop_in_step_three
        with contextlib.suppress(Stopped):
            stopped.run()
        resumed = trainer_of(name, preset, where, processes, **how)
        resumed.run(resume=True)
        save_file(weights_of(resumed), own / f"resumed-{name}-{preset}.safetensors")


def look_up_few(processes: Processes, folder: Path) -> None:
    """A table of four items in three processes, the last of which holds nothing: vectors, and the slope of the rows."""
    whole = torch.arange(8.0).view(4, 2)
    table = SplitTable(whole, processes)
    assert len(table.rows) == (2, 2, 0)[processes.rank]
    items = torch.arange(4)[processes.rank :]
    found = table(items)
    assert torch.equal(found, whole[items])
    found.sum().backward()
    assert table.rows.grad is not None
    asked = torch.tensor([1.0, 2.0, 3.0, 3.0])  # by how many processes
    assert torch.equal(table.rows.grad, table.own(asked[:, None].expand(4, 2)))


def _stop_in_step_three(at: Progress) -> None:
    if at.step == 3:
        raise Stopped


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
    trainer = trainer_of("sasrec", "session", folder / f"weights-{processes.rank}", processes)
    with torch.no_grad():
        next(trainer.model.parameters())[0] += processes.rank
    try:
        trainer.run()
    except UserMistake as mistake:
        told["weights"] = str(mistake)
    folder.joinpath(f"{processes.rank}.json").write_text(json.dumps(told))
