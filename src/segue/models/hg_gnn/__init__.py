"""HG-GNN, heterogeneous global graph neural network for personalised session-based recommendation.

arXiv 2107.03813. `config` declares every switch; `layers` is eq. (4)-(8), `session_encoder` eq. (9)-(18), `recall` and
`memory` the terms of preset `segue`, `model` puts them together, `explain` takes a score apart.
"""

from segue.models.hg_gnn.model import HGGNN, Model

__all__ = ["HGGNN", "Model"]
