"""Configurations that come with the package and are asked for by name."""

from __future__ import annotations

from pathlib import Path

from pixelbayes.workflows.config import RunError

__all__ = ["find_shipped", "shipped"]

SHIPPED = Path(__file__).resolve().parents[1] / "configs"
KINDS = {"study": "study", "train": "recipe"}
"""Beginning of the name of such a file, and what is in it."""


def shipped(kind: str) -> dict[str, Path]:
    """Name and file of each configuration of a kind, such as "digits" of the kind "study"."""
    files = sorted(SHIPPED.glob(f"{kind}-*.yaml"))
    return {path.stem.removeprefix(f"{kind}-"): path for path in files}


def find_shipped(kind: str, config: str | Path) -> Path:
    """The file that a configuration is read from.

    Args:
        kind: study or train.
        config: A file, or a name as in `shipped`.  A file is meant where there is one.

    Raises:
        RunError: If it is neither, with the names that there are.
    """
    file, known, noun = Path(config), shipped(kind), KINDS[kind]
    if file.is_file():
        return file
    if str(config) in known:
        return known[str(config)]
    name = file.stem.removeprefix(f"{kind}-")
    hint = f"did you mean {name}? " if name in known else ""
    raise RunError(
        f"no {noun} {str(config)!r}: {hint}give a YAML file, or a {noun} that comes with the "
        f"package: {', '.join(known)}"
    )
