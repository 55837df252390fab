"""What stands beside the graphs: the manifest and the vocabularies, for programs that do not know Segue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from segue.artifact.contents import Contents
from segue.data.present import present
from segue.export.graph import IR_VERSION, OPSET, Graph, dtype_of, shape_of
from segue.lean.hg_gnn import LeanHGGNN
from segue.version import __version__

FORMAT = "segue-export-1"
MEANINGS = {
    "items": "numbers of the items of the running session, the oldest first, padded at the end with anything; "
    "of more than window.length items the last ones count",
    "lengths": "number of items of each session; 0: the session is empty and starts from the last items of the history",
    "user": "number of the user; unknown_user, or any number that is none in users.json, for everybody else",
    "time": "time of the request, epoch ms; trained_until where nothing better is known",
    "history_items": "items of given earlier sessions, the oldest first, padded at the end with anything",
    "history_times": "time of each of these events, epoch ms",
    "history_sessions": "number of the session of each of these events, counted from 0 for the oldest of all sessions",
    "history_lengths": "number of events of each given history",
    "history_given": "whether the given history replaces what training saw of the user; false: it is not read",
    "session_vector": "everything whose product with the vectors of all items is a score; not a number where "
    "neither session nor history holds an item: then the items with most events are what Segue recommends",
    "memory_at": "request and item of every candidate of the memory, in order, each pair once",
    "memory_added": "what the memory adds to the score of each candidate",
    "memory_pointed": "probability that the pointer gives to each candidate",
    "log_dense": "logarithm of the share of the softmax beside the pointer",
    "scores": "scores of all items, the larger the better; of equal ones the smaller number comes first in a list",
}
LEFT_OUT = (
    "reasons and attention of a list",
    "filters, exclusions and places for discoveries",
    "live counts of segue serve --live",
)
"""What Segue does with a model and the graphs do not."""


def described(
    contents: Contents, model: LeanHGGNN, graphs: Mapping[str, Graph], hashes: Mapping[str, str]
) -> dict[str, Any]:
    """The manifest of an export."""
    settings = contents.settings.model
    return {
        "format": FORMAT,
        "segue": __version__,
        "model": {"name": settings.name, "preset": settings.preset},
        "corpus_fingerprint": contents.facts["corpus_fingerprint"],
        "opset": OPSET,
        "ir_version": IR_VERSION,
        "graphs": {
            name: {
                "file": f"{name}.onnx",
                "inputs": [_tensor(each) for each in graph.inputs],
                "outputs": [_tensor(each) for each in graph.outputs],
            }
            for name, graph in graphs.items()
        },
        "items": {"file": "items.json", "count": model.n_items},
        "users": {"file": "users.json", "count": len(contents.users), "with_vector": model.n_users},
        "unknown_user": len(contents.users),
        "window": {"length": model.length, "history": model.options.window.history},
        "trained_until": present(contents.history.times),
        "left_out": list(LEFT_OUT),
        "sha256": dict(hashes),
    }


def _tensor(info: onnx.ValueInfoProto) -> dict[str, Any]:
    return {"name": info.name, "dtype": dtype_of(info), "shape": shape_of(info), "meaning": MEANINGS[info.name]}


def items_of(contents: Contents) -> dict[str, Any]:
    """The items by number: ids, names (the id where there is none), and events in training."""
    ids = contents.items.column("item_id").to_pylist()
    named = contents.items.column("name").to_pylist() if "name" in contents.items.column_names else ids
    events = np.bincount(contents.history.items, minlength=len(ids)).tolist()
    return {"ids": ids, "names": [name or item for item, name in zip(ids, named, strict=True)], "events": events}


def users_of(contents: Contents) -> dict[str, Any]:
    """The users by number; those behind `with_vector` of the manifest had too few sessions to get a vector."""
    return {"ids": contents.users.column("user_id").to_pylist()}
