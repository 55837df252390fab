"""Nearest neighbours among the past sessions: V-SKNN, STAN, VSTAN, and their session-aware forms.

V-SKNN: Ludewig & Jannach 2018. STAN: Garg et al. 2019. VSTAN: Ludewig et al. 2021. EBR: Latifi et al. 2021.
`config` declares every switch, `index` finds the sessions that share an item, `model` puts the formula together.
"""

from segue.models.session_knn.model import Model

__all__ = ["Model"]
