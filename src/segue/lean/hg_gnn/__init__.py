"""HG-GNN without torch: the answers of :mod:`segue.models.hg_gnn`, term by term the same."""

from segue.lean.hg_gnn.model import LeanHGGNN

__all__ = ["LeanHGGNN"]
