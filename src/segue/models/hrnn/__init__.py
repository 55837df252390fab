"""H-RNN: a network over a user's sessions that starts the network over the items of the running one.

`config` declares every switch and the presets, `model` the two networks.
"""

from segue.models.hrnn.model import Model

__all__ = ["Model"]
