"""How long a user waits: for the package, and for the class of a first photograph.

    python -m benchmarks.startup

Each time is that of a process of its own, taken inside it, so without Python's own start.  The
three are measured in turns.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.measuring import Spread
from benchmarks.records import Column, Record, Table, origin, write

TIMED = "import time; begun = time.perf_counter(); {}; print(time.perf_counter() - begun)"
PROGRAMS = {
    "import pixelbayes": "import pixelbayes",
    "import torch": "import torch",
    "import torch, load the shipped model, classify one 64 x 64 photograph": (
        "import torch, pixelbayes, numpy as np; "
        "pixelbayes.load().predict(np.zeros((64, 64, 3), np.uint8))"
    ),
}
REPEATS = 10
FOLDER = Path("docs/results/benchmarks")


def seconds(program: str) -> float:
    """Runs a program in a new process and returns what it says it took."""
    child = subprocess.run(
        [sys.executable, "-c", TIMED.format(program)], check=True, capture_output=True, text=True
    )
    return float(child.stdout.splitlines()[-1])


def measure(repeats: int) -> Record:
    """Every program as often, in turns, after one time that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for turn in range(repeats + 1):
        for name, program in PROGRAMS.items():
            once = seconds(program)
            if turn:
                taken[name].append(once)
    rows = [{"what": name, "seconds": Spread.of(times)} for name, times in taken.items()]
    over = [all_ - torch for _, torch, all_ in zip(*taken.values(), strict=True)]
    rows.append({"what": "the last over import torch", "seconds": Spread.of(over)})
    columns = (Column("what", "what"), Column("seconds", "seconds, median of the repeats"))
    table = Table("From nothing to an answer", columns, tuple(rows))
    made = {**origin(), "command": "python -m benchmarks.startup"}
    return Record("startup", "Until the first answer", {"repeats": repeats}, (table,), made)


def main() -> int:
    """Measures and writes the record."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--repeats", type=int, default=REPEATS)
    options.add_argument("--output", type=Path, default=FOLDER)
    chosen = options.parse_args()
    for path in write(measure(chosen.repeats), chosen.output, {}):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
