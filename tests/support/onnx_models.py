"""Exported graphs of models in memory, run with ONNX Runtime, and requests as they are fed to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import lean_models
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from lean_models import batch, lean_of

from segue.contract.model import SessionModel
from segue.data.corpus import Sessions
from segue.export.hg_gnn.model import encoder_graph, scorer_graph
from segue.lean.hg_gnn import LeanHGGNN
from segue.lean.model import Floats
from segue.lean.request import Asked

Feed = Mapping[str, npt.NDArray[Any]]
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Exported:
    """Both graphs, ready to be asked."""

    encoder: ort.InferenceSession
    scorer: ort.InferenceSession

    def encode(self, feed: Feed) -> dict[str, npt.NDArray[Any]]:
        wanted = {each.name for each in self.encoder.get_inputs()}
        assert wanted <= set(feed)
        outputs = [each.name for each in self.encoder.get_outputs()]
        found = self.encoder.run(None, {name: feed[name] for name in wanted})
        return dict(zip(outputs, found, strict=True))

    def scores(self, feed: Feed) -> Floats:
        found: Floats = self.scorer.run(None, self.encode(feed))[0]
        return found


def session_of(model: onnx.ModelProto | str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(model if isinstance(model, str) else model.SerializeToString(), options)


def exported(model: SessionModel, history: Sessions) -> Exported:
    """The graphs of a model in memory, checked as graphs."""
    lean = lean_of(model)
    assert isinstance(lean, LeanHGGNN)
    graphs = encoder_graph(lean, history, model.n_users).model(), scorer_graph(lean).model()
    for graph in graphs:
        onnx.checker.check_model(graph, full_check=True)
    return Exported(*map(session_of, graphs))


def padded(rows: Sequence[Sequence[int] | npt.NDArray[Any]], filling: int = -7) -> npt.NDArray[np.int64]:
    """Rows of different lengths as a matrix; what stands behind them must not matter."""
    matrix = np.full((len(rows), max(map(len, rows))), filling, dtype=np.int64)
    for cells, row in zip(matrix, rows, strict=True):
        cells[: len(row)] = row
    return matrix


def feed_of(asked: Sequence[Asked]) -> Feed:
    """Requests as inputs; a history that is not fresh is left to the graph."""
    given = np.array([each.fresh for each in asked])
    lengths = np.array([len(each.past.items) if each.fresh else 0 for each in asked], dtype=np.int64)
    sessions = [np.repeat(np.arange(len(each.past.offsets) - 1), np.diff(each.past.offsets)) for each in asked]
    return {
        "items": padded([each.items for each in asked]),
        "lengths": np.array([len(each.items) for each in asked], dtype=np.int64),
        "user": np.array([each.user for each in asked], dtype=np.int64),
        "time": np.array([each.time for each in asked], dtype=np.int64),
        "history_items": padded([each.past.items[:n] for each, n in zip(asked, lengths, strict=True)]),
        "history_times": padded([each.past.times[:n] for each, n in zip(asked, lengths, strict=True)]),
        "history_sessions": padded([each[:n] for each, n in zip(sessions, lengths, strict=True)]),
        "history_lengths": lengths,
        "history_given": given,
    }


def of_torch(model: SessionModel, asked: Asked) -> Floats:
    """The scores by torch; an empty session starts from the last items of the history."""
    if not len(asked.items):
        asked = replace(asked, items=asked.past.items[-model.config.window.length :])  # type: ignore[attr-defined]
    with torch.no_grad():
        scores: Floats = model.scores(batch(asked, model.config.window.length))[0].double().numpy()
    return scores


close = partial(lean_models.close, tolerance=TOLERANCE)
same_order = partial(lean_models.same_order, tolerance=TOLERANCE)
