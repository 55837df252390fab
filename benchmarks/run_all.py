"""`make bench`: the speed benchmarks in order. Quality benchmarks need data that has to be named:

python benchmarks/parity.py FOLDER
python benchmarks/parity_trained.py FOLDER
python benchmarks/comparison.py NAME LOG --users N
python benchmarks/converged.py NAME LOG --users N
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPTS = ("preparation.py", "speed.py", "models.py", "serving.py")


def main() -> None:
    """Run each script in a process of its own; stop at the first that fails."""
    for script in SCRIPTS:
        print(f"== {script}", flush=True)
        subprocess.run([sys.executable, str(Path(__file__).parent / script)], check=True)


if __name__ == "__main__":
    main()
