"""Real processes ended by SIGKILL while they train, again and again, and then left to finish."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from campaign.faults import essence, run
from campaign.flows import TINY
from campaign.inputs import collection
from campaign.records import Findings
from pixelbayes.errors import PixelBayesError

__all__ = ["kill_all"]

EPOCHS = 40
LONGEST = 2.0  # seconds that a process may work after its first write
PATIENCE = 300  # seconds until a process must have written something
RESTED = 0.02  # seconds between two looks


def kill_all(number: int, seed: int, place: Path, seconds: float) -> Findings:
    """Kills a training that is resumed each time, and compares it with one that was left alone.

    Args:
        number: How many kills.
        seed: Of the generator.
        place: An empty folder.
        seconds: After which no process is started any more.
    """
    found, end = Findings(), time.monotonic() + seconds
    data = place / "data"
    data.mkdir()
    rng = random.Random(f"{seed} kills")
    made = collection(rng, data, "folder", per_class=8)
    size = "x".join(map(str, made.size))
    options = ["--data", made.source, "--image-size", size, "--channels", str(made.channels)]
    options += ["--batch-size", "8", "--accuracy-images", "0", *TINY, "--epochs", str(EPOCHS)]
    calm, disturbed = place / "calm", place / "disturbed"

    def train(folder: Path) -> list[str]:
        return ["train", *options, "--output", str(folder / "run"), "--quiet"]

    def resume(folder: Path) -> list[str]:
        return ["train", "--resume", str(folder / "run"), "--quiet"]

    status, text = run(train(calm))
    if status:
        raise RuntimeError(f"nothing can be tried: {text}")
    expected = essence(calm)
    while found.total < number and time.monotonic() < end:
        shutil.rmtree(disturbed, ignore_errors=True)
        arguments = train(disturbed)
        while found.total < number and _killed(arguments, disturbed / "run", rng):
            found.tried["train"] += 1
            begun = (disturbed / "run" / "metrics.csv").exists()
            arguments = resume(disturbed) if begun else train(disturbed)
            try:
                essence(disturbed)
                found.survived += 1
            except (PixelBayesError, OSError, ValueError) as error:
                found.lost += 1
                found.note(f"kill {found.total}: {type(error).__name__}: {error}")
            if time.monotonic() > end:
                break
        status, text = run(arguments)
        if "epochs are done" not in text and status:
            found.lost += 1
            found.note(f"kill {found.total}: resumed it ends with {status}: {text[-300:]}")
        elif essence(disturbed) != expected:
            found.lost += 1
            found.note(f"kill {found.total}: the end is another than that of a calm training")
    return found


def _killed(arguments: list[str], watched: Path, rng: random.Random) -> bool:
    """Starts the program and kills it some time after it has begun to write; False if it ended."""
    before = _last_write(watched)
    quiet = subprocess.DEVNULL
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "pixelbayes", *arguments],
        stdout=quiet,
        stderr=quiet,
        env=environment,
    )
    end = time.monotonic() + PATIENCE
    while _last_write(watched) == before and process.poll() is None and time.monotonic() < end:
        time.sleep(RESTED)
    time.sleep(rng.uniform(0, LONGEST))
    ended = process.poll() is not None
    if not ended:
        process.send_signal(signal.SIGKILL)
    process.wait()
    return not ended


def _last_write(folder: Path) -> float:
    """When something in the folder was last written; 0.0 where there is nothing."""
    times = []
    for file in folder.rglob("*"):
        try:
            times.append(file.stat().st_mtime)
        except OSError:  # replaced at this moment
            continue
    return max(times, default=0.0)
