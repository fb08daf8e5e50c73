"""Where a number came from: what is needed to get it again.

No names of hosts or users are recorded, and no path but those the user typed.
"""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import pixelbayes

__all__ = ["command", "commit", "now", "provenance"]

PACKAGES = ("numpy", "pytorch-lightning")
GIT_TIMEOUT = 10.0  # seconds; a network file system can be slow, but a run must start


def provenance() -> dict[str, Any]:
    """Returns versions, commit, command, date and machine in plain JSON types.

    >>> sorted(provenance())
    ['command', 'commit', 'date', 'machine', 'versions']
    """
    return {
        "versions": versions(),
        "commit": commit(),
        "command": command(),
        "date": now(),
        "machine": machine(),
    }


def versions() -> dict[str, str]:
    """Versions of this package, of Python, and of what decides the numbers."""
    found = {
        "pixelbayes": pixelbayes.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # names the build too, such as +cu130
    }
    for name in PACKAGES:
        try:
            found[name.replace("-", "_")] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    found["platform"] = f"{platform.system()} {platform.machine()}"
    return found


def commit(package: Path | None = None) -> str | None:
    """The commit of the source tree, with "-dirty" where it was changed since.

    Args:
        package: The folder of the package; None: this one's.

    Returns:
        None where the package does not run from a checkout of its own repository.
    """
    return _own_commit() if package is None else _commit(package)


@cache  # what runs is what was there when it was imported
def _own_commit() -> str | None:
    return _commit(Path(pixelbayes.__file__).resolve().parent)


def _commit(package: Path) -> str | None:
    root = package.parents[1]
    if package != root / "src" / package.name or not (root / ".git").exists():
        return None
    head = _git(root, "rev-parse", "HEAD")
    if head is None:
        return None
    changes = _git(root, "status", "--porcelain", "--", "src")
    return f"{head}-dirty" if changes else head


def command() -> str:
    """The command line as it was typed, with the program's bare name."""
    program = Path(sys.argv[0]) if sys.argv and sys.argv[0] else Path("python")
    words = [program.name]
    if program.name == "__main__.py":  # python -m PACKAGE
        package = program.parent.name
        words = ["pixelbayes"] if package == "pixelbayes" else ["python", "-m", package]
    return shlex.join([*words, *sys.argv[1:]])


def now() -> str:
    """Date and time in UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def machine() -> dict[str, Any]:
    """What computed: processor, threads, accelerator."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"cpu": _cpu_name(), "threads": torch.get_num_threads(), "gpus": gpus}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(root), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
            timeout=GIT_TIMEOUT,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
