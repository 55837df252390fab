"""``segue replay`` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import small_logs
from conftest import Run  # noqa: F401
