"""GCE-GNN: a session graph beside a global graph of items (Wang et al. 2020).

`neighbours` builds the global graph, `model` reads both.
"""

from segue.models.gce_gnn.model import Model

__all__ = ["Model"]
