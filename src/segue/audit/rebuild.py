"""A second fit of a model, from train alone, to compare with what is stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from segue import models
from segue.audit.arrays import Arrays, differences, identical
from segue.audit.finding import Finding
from segue.contract.model import SessionModel
from segue.data.corpus import Corpus, Part
from segue.data.engine import spilling
from segue.settings import Settings
from segue.system.torch_runtime import enough_memory, threads

TABLES = "tables counted from train"


def refit(corpus: Corpus, settings: Settings) -> SessionModel:
    """The model as training begins with it: counted and drawn from the train part of `corpus`, nothing learned yet.

    Other parts may be in `corpus`: a model that looked at them would show it.
    """
    torch.manual_seed(settings.training.seed)
    model = models.build(settings)
    what = f"counting {models.label(settings)} again"
    with scratch() as folder, threads(1), enough_memory(what, "give it more memory"), spilling(folder):
        model.fit(corpus)
    return model


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that does not exist yet, in one that goes with the block."""
    with TemporaryDirectory(prefix="segue-audit-") as folder:
        yield Path(folder) / "scratch"


def counted(model: SessionModel) -> Arrays:
    """The arrays that no training moves."""
    return {name: array.detach() for name, array in model.arrays().items() if name not in model.learned}


def tables(
    stored: SessionModel, fresh: SessionModel, settings: Settings, corpus: Corpus, trained_on: Sequence[Part]
) -> Finding:
    """The stored tables are those of a second fit on the parts that the model says it was trained on.

    Args:
        fresh: the result of :func:`refit` on these parts. corpus: with all parts, as the split has them.
    """
    of = " + ".join(part.name.lower() for part in trained_on)
    found, expected = counted(stored), counted(fresh)
    checked = f"that every table which is counted and not learned is what {of} gives: it was made again and compared"
    numbers = {"tables": len(found), "values": sum(array.numel() for array in found.values())}
    if not found and not expected:
        return Finding(TABLES, checked, "clean", "the model stores no counted table", numbers)
    if identical(found, expected):
        return Finding(TABLES, checked, "clean", f"{_names(found)}: equal bit by bit", numbers)
    apart = differences(found, expected, corpus.n_items)
    if not apart:
        return Finding(TABLES, checked, "clean", f"{_names(found)}: equal but for the rounding of sums", numbers)
    names = [each.name for each in apart]
    example = next((each for each in apart if each.item is not None), apart[0]).words(corpus.item_ids)
    source = _source(found, settings, corpus, trained_on)
    told = f"not what {of} gives: {', '.join(_tables(names))}; for example {example}; {source}"
    return Finding(TABLES, checked, "leak", told, {**numbers, "differ": names})


def _names(arrays: Arrays) -> str:
    groups = _tables(arrays)
    return f"{len(arrays)} arrays ({', '.join(groups[:4])}{', …' if len(groups) > 4 else ''})"


def _tables(arrays: Iterable[str]) -> list[str]:
    """The tables that arrays belong to: ``graph.similar`` of ``graph.similar/offsets``."""
    return sorted({re.sub(r"[./]\w+$", "", name) for name in arrays})


def _source(found: Arrays, settings: Settings, corpus: Corpus, trained_on: Sequence[Part]) -> str:
    """Which parts give the stored tables, if any do."""
    others = [part for part in Part if part not in trained_on]
    for size in range(1, len(others) + 1):
        for added in combinations(others, size):
            again = refit(corpus.with_train([*trained_on, *added]), settings)
            if not differences(found, counted(again), corpus.n_items):
                names = " and ".join(part.name.lower() for part in added)
                return f"they are exactly what these parts with {names} give: {names} reached them"
    return "no union of whole parts gives them: single later events reached them, or another version of Segue made them"
