"""What has been computed for a run, kept on disk so that nothing is computed twice.

A piece is a table of numbers or a JSON value in a file of its own, under a name that holds the
digest of everything it depends on.  A changed checkpoint or setting therefore asks for another
file; an interruption loses only the piece that was being made.  Each file carries the digest of its
content, so that a damaged one is made again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixelbayes.io import write_whole
from pixelbayes.models.storage import (
    CheckpointError,
    bytes_of,
    tensors_of,
)
from pixelbayes.workflows.scoring import Progress

__all__ = ["Cache", "Deadline", "TimeIsUp", "digest", "levels_digest"]

DIGITS = 16  # of a digest in a file name
SHA256 = "sha256"  # names the digest of a piece in its file


class TimeIsUp(Exception):  # noqa: N818 (not an error: it was asked for)
    """The time limit of the call is over; what is finished is kept."""


class Deadline:
    """The end of a call's time.

    Args:
        seconds: From now; None: there is no end.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float | None:
        """Seconds to go, not below 0; None: there is no end."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """Raises `TimeIsUp` if nothing is left."""
        if self.left == 0.0:
            raise TimeIsUp

    def watching(self, progress: Progress | None) -> Progress:
        """A `progress` callback that also looks at the time."""

        def watched(what: str, done: int, total: int) -> None:
            self.check()
            if progress is not None:
                progress(what, done, total)

        return watched


class Cache:
    """The cache of one run.

    >>> import tempfile
    >>> cache = Cache(Path(tempfile.mkdtemp()))
    >>> cache.value("answer", {"seed": 0}, lambda: 42)
    42
    >>> cache.value("answer", {"seed": 0}, lambda: 43), cache.value("answer", {}, lambda: 43)
    (42, 43)

    Args:
        folder: Where the files are; made with the first of them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def value(self, name: str, key: Mapping[str, Any], compute: Callable[[], Any]) -> Any:
        """A JSON value.

        Args:
            name: Begins the file's name.
            key: All that the value depends on, in JSON types.
            compute: Makes the value where there is none yet.
        """
        known = self.known(name, key)
        if known is not None:
            return known
        value = compute()
        content = {SHA256: digest({"value": value}), "value": value}
        self._write(self._path(name, key, "json"), json.dumps(content).encode())
        return value

    def known(self, name: str, key: Mapping[str, Any]) -> Any | None:
        """The JSON value if it has been made, else None."""
        try:
            content = json.loads(self._path(name, key, "json").read_text(encoding="utf-8"))
        except (OSError, ValueError):  # none yet, or damaged: it can be made again
            return None
        if not (isinstance(content, dict) and {SHA256, "value"} & content.keys()):
            return content  # as the version before this one wrote it
        value = content.get("value")
        return value if digest({"value": value}) == content.get(SHA256) else None

    def is_damaged(self, name: str, key: Mapping[str, Any]) -> bool:
        """Whether there is a JSON value that cannot be read."""
        return self._path(name, key, "json").exists() and self.known(name, key) is None

    def tensors(
        self, name: str, key: Mapping[str, Any], compute: Callable[[], Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Named tensors; the arguments are those of `value`."""
        path = self._path(name, key, "safetensors")
        try:
            kept = tensors_of(path.read_bytes(), str(path))
            known = kept.pop(SHA256, None)
            # The version before this one wrote one tensor and no digest.
            if len(kept) == 1 if known is None else known.equal(_digest_tensor(kept)):
                return kept
        except (OSError, CheckpointError):  # none yet, or damaged: it can be made again
            pass
        made = {part: tensor.cpu().contiguous() for part, tensor in compute().items()}
        self._write(path, bytes_of({**made, SHA256: _digest_tensor(made)}))
        return made

    def _path(self, name: str, key: Mapping[str, Any], suffix: str) -> Path:
        return self.folder / f"{name}-{digest(key)[:DIGITS]}.{suffix}"

    def _write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)


def _digest_tensor(tensors: Mapping[str, Tensor]) -> Tensor:
    """SHA-256 of named tensors, as 32 bytes."""
    text = digest({name: levels_digest(tensor) for name, tensor in tensors.items()})
    return torch.tensor(list(bytes.fromhex(text)), dtype=torch.uint8)


def digest(key: Mapping[str, Any]) -> str:
    """SHA-256 of a mapping of JSON types, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def levels_digest(*tensors: Tensor) -> str:
    """SHA-256 of tensors with their shapes."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
        found.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).data)
    return found.hexdigest()
