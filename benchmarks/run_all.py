"""`make bench`: the benchmarks that need no data but their own, in order. Others need data that has to be named:

python benchmarks/parity.py FOLDER
python benchmarks/parity_trained.py FOLDER
python benchmarks/comparison.py NAME LOG --users N
python benchmarks/converged.py NAME LOG --users N
python benchmarks/updates.py NAME LOG --users N
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import serving

HERE = Path(__file__).parent


def commands(scratch: Path) -> list[list[str]]:
    """The scripts with their arguments; the model that answers over HTTP is one of those that are timed before."""
    model = scratch / f"model-{max(serving.CATALOGUES)}"
    return [
        ["preparation.py"],
        ["growth.py"],
        ["speed.py"],
        ["models.py"],
        ["processes.py"],
        ["serving.py", "--keep", str(scratch)],
        ["serving_http.py", str(model), "--workers", "2"],
    ]


def main() -> None:
    """Run each script in a process of its own; stop at the first that fails."""
    with tempfile.TemporaryDirectory(prefix="segue-bench-") as scratch:
        for script, *arguments in commands(Path(scratch)):
            print(f"== {script}", flush=True)
            subprocess.run([sys.executable, str(HERE / script), *arguments], check=True)


if __name__ == "__main__":
    main()
