"""Image files by the thousand, read and answered chunk by chunk.

Memory holds one chunk, whatever the number of files.  Chunks are the same however often a call is
stopped and gone on with, and whichever process computes them: so are the answers, to the last bit,
on machines that compute alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor

from pixelbayes.data import BadFile, DatasetError, ImageFileError
from pixelbayes.data.errors import enumerate_offenders
from pixelbayes.data.files import bad_files_error, temporary_file
from pixelbayes.data.inputs import Conversions, ImageBatch, image_levels
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.memory import freed_memory_kept
from pixelbayes.models import Model
from pixelbayes.workflows.processes import Processes

__all__ = ["Answer", "ImageFiles", "Part", "Progress"]

CHUNK, CHUNK_ELSEWHERE = 32, 512  # images on a CPU, on a GPU: seconds of work, which a stop loses

Row = TypeVar("Row")
Progress = Callable[[str, int, int], None]
Answer = Callable[[Sequence[Path], Tensor, Callable[[int], None]], Sequence[Row]]
"""Rows of some files from their levels (n, C, H, W); it is called with how many are done."""


@dataclass(frozen=True)
class Part(Generic[Row]):
    """What came of one chunk of files."""

    rows: tuple[Row, ...]
    """One for each file that could be read, in order."""
    bad: tuple[BadFile, ...]
    """Files that were left out."""
    conversions: Conversions
    """What was done to the images so that the model can see them."""
    done: int
    """Files up to the end of this chunk."""


@dataclass(frozen=True)
class ImageFiles:
    """Image files for a model.

    Args:
        model: Decides channels and size.
        paths: The files.
        skip_bad: Whether files that cannot be read are left out, instead of an error.
        content: Of images that are no files, by the path that stands for them.
        chunk: Images that are read before they are answered together; None: what suits the device.
        processes: Which share the work.
    """

    model: Model
    paths: Sequence[Path]
    skip_bad: bool = False
    content: Mapping[Path, bytes] = field(default_factory=dict)
    chunk: int | None = None
    processes: Processes = field(default_factory=Processes)

    def __post_init__(self) -> None:
        if self.chunk is not None and self.chunk < 1:
            raise PixelBayesError(f"chunk is a number of images above 0, got {self.chunk}")

    def check(self, progress: Progress | None = None, *, first: int = 0) -> None:
        """Reads every file once, from the one with the number `first` on.

        Raises:
            DatasetError: If some cannot be read and `skip_bad` is off: one error for all of them.
        """
        if self.skip_bad:
            return

        def share() -> list[BadFile]:
            bad = []
            mine = self.paths[first:][self.processes.rank :: self.processes.count]
            for done, path in enumerate(mine, start=1):
                try:
                    self._read(path)
                except ImageFileError as error:
                    bad.append(BadFile(error.path, error.reason))
                if progress is not None:
                    progress("checking", done, len(mine))
            return bad

        bad = [file for files in self.processes.gathered(share) for file in files]
        if bad:
            position = {path: number for number, path in enumerate(self.paths)}
            raise bad_files_error(sorted(bad, key=lambda file: position[file.path]))

    @property
    def chunk_size(self) -> int:
        """Files of a chunk."""
        suits = CHUNK if self.model.device.type == "cpu" else CHUNK_ELSEWHERE
        return self.chunk or suits

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-len(self.paths) // self.chunk_size)

    def parts(
        self, what: str, answer: Answer[Row], progress: Progress | None = None, *, first: int = 0
    ) -> Iterator[Part[Row]]:
        """The answers, chunk by chunk in order, in every process.

        Args:
            what: Is being done, for `progress`.
            answer: Makes the rows of a chunk.
            progress: Called with what is being done and the numbers of files done and in all.
            first: Number of the chunk to begin with.

        Raises:
            ImageFileError: If a file cannot be read and `skip_bad` is off.
            DatasetError: If `skip_bad` is on and none at all can be read.
        """
        total = len(self.paths)
        bad: list[BadFile] = []

        def work(number: int) -> Part[Row]:
            start = number * self.chunk_size

            def on_done(done: int) -> None:
                if progress is not None:
                    progress(what, start + done, total)

            return self._part(self.paths[start : start + self.chunk_size], answer, on_done, start)

        if progress is not None:
            progress(what, first * self.chunk_size, total)
        with freed_memory_kept():
            for part in self.processes.in_turns(work, self.chunks, first=first):
                bad += part.bad
                yield part
                if progress is not None:
                    progress(what, part.done, total)
        if not first and total and len(bad) == total:
            raise DatasetError(
                f"none of the files can be read, so there is no answer: {enumerate_offenders(bad)}"
            )

    def _part(
        self, paths: Sequence[Path], answer: Answer[Row], on_done: Callable[[int], None], start: int
    ) -> Part[Row]:
        levels, kept, bad, conversions = [], [], [], Conversions()
        for path in paths:
            try:
                read = self._read(path)
            except ImageFileError as error:
                if not self.skip_bad:  # it was readable a moment ago
                    raise
                bad.append(BadFile(error.path, error.reason))
                continue
            levels.append(read.levels)
            kept.append(path)
            conversions += read.conversions
        rows = answer(kept, torch.cat(levels), on_done) if kept else ()
        return Part(tuple(rows), tuple(bad), conversions, start + len(paths))

    def _read(self, path: Path) -> ImageBatch:
        if path in self.content:
            with temporary_file(self.content[path], path) as file:
                return replace(self._levels(file), names=(str(path),))
        if path.is_dir():  # a table may list one
            raise ImageFileError(path, "a folder, not an image file")
        return self._levels(path)

    def _levels(self, file: Path) -> ImageBatch:
        return image_levels(file, channels=self.model.channels, resize=self.model.resize)
