"""A fault at each write: a full disk, a failing disk, the end of the process.

`Faults` stands between Python and the files of one folder and counts what changes them.  The event
of a given number fails, with half of its bytes written; where the process is to end, nothing after
it reaches the disk, as after SIGKILL.  Whatever happens, the files that there were must be usable
and the same command, given again, must come to the same end as one that was never disturbed.
"""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import pathlib
import random
import shutil
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campaign.flows import TINY
from campaign.inputs import collection
from campaign.records import Findings
from pixelbayes.cli.main import main as pixelbayes
from pixelbayes.errors import PixelBayesError
from pixelbayes.models import load_model
from pixelbayes.models.storage import read_description
from pixelbayes.training.metrics import read_metrics

__all__ = ["KINDS", "Faults", "Killed", "Scenario", "inject", "scenarios"]

KINDS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "kill": None}
PATIENCE = 120  # seconds until a command that does not end is given up
CHANGES = ("replace", "rename", "mkdir", "rmdir", "unlink", "remove", "fsync")
"""Functions of `os` that change files."""
TIMES = ("images_per_s", "seconds")
"""Columns of metrics.csv that no two runs share."""


class Killed(BaseException):
    """The process is gone; nothing that cleans up after errors may reach the disk."""


@contextmanager
def _paths_like_os() -> Iterator[None]:
    """Makes paths call what `os` and `io` have by now: Python 3.10 keeps functions for them."""
    accessor = getattr(pathlib, "_NormalAccessor", None)
    kept = {name: vars(accessor)[name] for name in ("open", *CHANGES) if name in dir(accessor)}
    try:
        for name in kept:
            setattr(accessor, name, staticmethod(io.open if name == "open" else getattr(os, name)))
        yield
    finally:
        for name, function in kept.items():
            setattr(accessor, name, function)


class Faults:
    """Lets one change of the files under a folder fail.

    Args:
        folder: Only what is in it is watched.
        kind: One of `KINDS`.
        number: Of the change, from 1 on; 0: none fails, they are counted.
    """

    def __init__(self, folder: Path, kind: str = "EIO", number: int = 0) -> None:
        self.folder = str(folder)
        self.code = KINDS[kind]
        self.number = number
        self.events = 0
        self.fired = ""
        """The change that failed."""
        self.dead = False
        self._lock = threading.Lock()

    @contextmanager
    def watching(self) -> Iterator[Faults]:
        """Watches while inside."""
        original = {name: getattr(os, name) for name in CHANGES}
        opened = builtins.open
        try:
            builtins.open = io.open = self._opening(opened)  # type: ignore[assignment]
            for name, function in original.items():
                setattr(os, name, self._changing(name, function))
            with _paths_like_os():
                yield self
        finally:
            builtins.open = io.open = opened
            for name, function in original.items():
                setattr(os, name, function)

    def event(self, what: str, half: Callable[[], object] = lambda: None) -> None:
        """Counts a change, and fails if it is the one.

        Args:
            what: The change, for people.
            half: Does a part of it, before it fails.
        """
        with self._lock:
            in_main = threading.current_thread() is threading.main_thread()
            if self.dead:
                raise Killed if in_main else OSError(errno.EIO, "the process is gone")
            self.events += 1
            if self.events != self.number:
                return
            self.fired = what
            with suppress(OSError, ValueError):
                half()
            self.dead = self.code is None
            if self.dead and in_main:
                raise Killed
        code = self.code or errno.EIO  # others wait for a thread that ends without an error
        raise OSError(code, os.strerror(code))

    def _is_watched(self, path: Any) -> bool:
        if isinstance(path, int):
            return False
        return str(os.path.abspath(os.fsdecode(path))).startswith(self.folder)

    def _opening(self, opened: Callable[..., Any]) -> Callable[..., Any]:
        def open_(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if not set(mode) & set("wax+") or not self._is_watched(file):
                return opened(file, mode, *args, **kwargs)
            self.event(f"open {Path(os.fsdecode(file)).name}")
            return _Watched(self, opened(file, mode, *args, **kwargs))

        return open_

    def _changing(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def change(path: Any, *args: Any, **kwargs: Any) -> Any:
            if name == "fsync" or kwargs.get("dir_fd") is not None or self._is_watched(path):
                shown = "" if isinstance(path, int) else Path(os.fsdecode(path)).name
                self.event(f"{name} {shown}".strip())
            return function(path, *args, **kwargs)

        return change


class _Watched:
    """A file that is written to."""

    def __init__(self, faults: Faults, file: Any) -> None:
        self._faults, self._file = faults, file

    def write(self, data: Any) -> Any:
        """Writes, or half of it and fails."""
        size = len(data)
        self._faults.event(
            f"write {size} bytes to {Path(os.fsdecode(self._file.name)).name}",
            lambda: (self._file.write(data[: size // 2]), self._file.flush()),
        )
        return self._file.write(data)

    def writelines(self, lines: Any) -> None:
        """Writes one after the other."""
        for line in lines:
            self.write(line)

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@dataclass
class Scenario:
    """A command whose writes are to fail.

    Attributes:
        name: Of the command.
        before: The folder as it is before the command.
        arguments: Of the program, for a copy of that folder.
        again: Arguments after a fault, for a copy that was left behind.
        after: What an undisturbed command makes, by file, as `essence` shortens it.
    """

    name: str
    before: Path
    arguments: Callable[[Path], list[str]]
    again: Callable[[Path], list[str]]
    after: dict[str, str]

    def count(self, place: Path) -> int:
        """How many changes the command makes."""
        copy = shutil.copytree(self.before, place / "counted")
        with Faults(copy).watching() as faults:
            status, text = run(self.arguments(copy))
        if status:
            raise RuntimeError(f"{self.name}: {text}")
        self.after = essence(copy)
        shutil.rmtree(copy)
        return faults.events


def run(arguments: list[str]) -> tuple[int | None, str]:
    """Runs the program in this process.

    Returns:
        Its exit status, None where it was killed, and what it said on stderr.
    """
    err = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            status: int | None = pixelbayes(arguments)
        except Killed:
            status = None
    return status, err.getvalue()


def essence(folder: Path) -> dict[str, str]:
    """What must be the same however often a command was disturbed: weights, rows and measurements.

    Raises:
        PixelBayesError, OSError, ValueError: If a file cannot be used.
    """
    found: dict[str, str] = {}
    for file in sorted(folder.rglob("*")):
        name = str(file.relative_to(folder))
        if file.name == "model.safetensors":
            model = load_model(file.parent)  # checks both files against each other
            digest = read_description(file.parent)["weights_sha256"]
            found[name] = f"{digest} {model.temperature}"
        elif file.name == "metrics.csv":
            rows = read_metrics(file)
            found[name] = str([{k: v for k, v in row.items() if k not in TIMES} for row in rows])
        elif file.name in ("report.json", "result.json"):
            content = json.loads(file.read_text(encoding="utf-8"))
            found[name] = json.dumps(content.get("splits"), sort_keys=True)
        elif file.name == "test_predictions.csv":
            found[name] = file.read_text(encoding="utf-8")
    return found


def scenarios(seed: int, place: Path) -> list[Scenario]:
    """Training, resuming, evaluating and a study, on one generated data set."""
    data = place / "data"
    data.mkdir()
    made = collection(random.Random(f"{seed} faults"), data, "folder", per_class=8)
    size = "x".join(map(str, made.size))
    options = ["--data", made.source, "--image-size", size, "--channels", str(made.channels)]
    options += ["--batch-size", "64", "--accuracy-images", "0", *TINY, "--quiet"]
    empty, trained = place / "empty", place / "trained"
    empty.mkdir()

    def train(copy: Path) -> list[str]:
        return ["train", *options, "--epochs", "1", "--output", str(copy / "run")]

    def resume(copy: Path) -> list[str]:
        return ["train", "--resume", str(copy / "run"), "--epochs", "2", "--quiet"]

    def train_or_resume(copy: Path) -> list[str]:
        status, _ = run(train(copy))
        return ["train", "--resume", str(copy / "run"), "--quiet"] if status else ["--version"]

    def evaluate(copy: Path) -> list[str]:
        return ["evaluate", str(copy / "run"), "--samples-per-class", "0", "--quiet"]

    def study(copy: Path) -> list[str]:
        return ["study", str(copy / "study.yaml"), "--output", str(copy / "study"), "--quiet"]

    trained.mkdir()
    status, text = run(train(trained))
    if status:
        raise RuntimeError(f"nothing can be tried: {text}")
    studied = place / "studied"
    studied.mkdir()
    (studied / "study.yaml").write_text(
        f"""title: campaign
base:
  data: {{data: {json.dumps(made.source)}, image_size: {list(made.size)},
         channels: {made.channels}}}
  network: {{features: 2, mixtures: 1, embedding: 2, blocks_per_stage: 1}}
  training: {{epochs: 1, batch_size: 64, accuracy_images: 0}}
models:
  late: {{network: {{fusion: late}}}}
samples_per_class: 2
""",
        encoding="utf-8",
    )
    return [
        Scenario("train", empty, train, train_or_resume, {}),
        Scenario("resume", trained, resume, resume, {}),
        Scenario("evaluate", trained, evaluate, evaluate, {}),
        Scenario("study", studied, study, study, {}),
    ]


def inject(scenario: Scenario, kind: str, number: int, place: Path, found: Findings) -> bool:
    """Lets one change fail, and sees what is left.

    Returns:
        Whether there was such a change.
    """
    copy = shutil.copytree(scenario.before, place / "copy")
    before = essence(copy)
    what = f"{scenario.name}, {kind} at change {number}"
    try:
        with _in_time(), Faults(copy, kind, number).watching() as faults:
            status, text = run(scenario.arguments(copy))
        if not faults.fired:
            return False
        found.tried[f"{scenario.name}: {kind}"] += 1
        what += f" ({faults.fired})"
        if status not in (None, 2, 0):
            found.faulty += 1
            found.note(f"{what}: {text[-600:]}")
        left = essence(copy)  # nothing that there was cannot be read
        for name, content in before.items():
            if left.get(name) not in (content, scenario.after.get(name)):
                found.lost += 1
                found.note(f"{what}: {name} is gone, or is no whole one")
        with _in_time():
            status, text = run(scenario.again(copy))
        if "epochs are done; a larger" in text:
            status = 0  # the fault came when the work was done
        after = essence(copy)
        if status or after != scenario.after:
            found.lost += 1
            others = [it for it in scenario.after if after.get(it) != scenario.after[it]]
            found.note(f"{what}: given again it ends with {status}: {text[-400:]} {others}")
        else:
            found.survived += 1
    except (PixelBayesError, OSError, ValueError, KeyError) as error:
        found.lost += 1
        found.note(f"{what}: {type(error).__name__}: {error}")
    finally:
        shutil.rmtree(copy)
    return True


@contextmanager
def _in_time() -> Iterator[None]:
    """Ends what does not end by itself.

    Raises:
        TimeoutError: If it took too long.
    """

    def late(*_: object) -> None:
        raise TimeoutError(f"no end after {PATIENCE} seconds")

    previous = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
