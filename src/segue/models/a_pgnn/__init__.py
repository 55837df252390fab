"""A-PGNN: a personalised graph neural network over the user's own behaviour graph (Zhang et al. 2020).

`graph` builds the behaviour graph of each user, `model` reads it.
"""

from segue.models.a_pgnn.model import Model

__all__ = ["Model"]
