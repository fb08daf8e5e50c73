"""Answers about many image files, as `predict` and `score` give them: where they go, and how."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pixelbayes.cli import terminal
from pixelbayes.cli.options import UsageError

if TYPE_CHECKING:
    from pixelbayes.data import BadFile
    from pixelbayes.data.inputs import Conversions
    from pixelbayes.models import Model
    from pixelbayes.workflows.growing import GoingOn
    from pixelbayes.workflows.inputs import Inputs
    from pixelbayes.workflows.outputs import Kind
    from pixelbayes.workflows.processes import Processes
    from pixelbayes.workflows.records import Format, RecordWriter
    from pixelbayes.workflows.stream import ImageFiles, Part

__all__ = [
    "STDOUT",
    "Answered",
    "Destination",
    "Formats",
    "tell_files",
    "tell_left_out",
    "tell_unlike",
]

Formats = Literal["table", "csv", "json", "jsonl"]
Row = TypeVar("Row")

SHOWN = 10  # files that are named when many are left out
STDOUT = Path("-")


@dataclass(frozen=True)
class Answered:
    """What came of all files of a call."""

    rows: int
    """Rows of the table, those of an earlier call with it."""
    new: int
    """Rows of this call."""
    bad: tuple[BadFile, ...]
    conversions: Conversions


@dataclass(frozen=True)
class Destination(Generic[Row]):
    """Where rows go.

    Args:
        output: A file; - is stdout.
        format: How they are written; None: a table for people.
        kind: What is written.
        overwrite: Whether an earlier table is replaced.
        resume: Whether an earlier call that was stopped is gone on with.
    """

    output: Path
    format: Format | None
    kind: Kind
    overwrite: bool
    resume: bool

    @classmethod
    def of(
        cls,
        output: Path,
        format_: Formats | None,
        *,
        json: bool,
        kind: Kind,
        overwrite: bool,
        resume: bool,
    ) -> Destination[Row]:
        """From the options of a command.

        Raises:
            UsageError: If they contradict each other.
        """
        from pixelbayes.workflows.records import Format

        if json and format_ not in (None, "json"):
            raise UsageError(f"--json and --format {format_} contradict each other; give one")
        if resume and overwrite:
            raise UsageError("--resume goes on and --overwrite begins anew; give one of them")
        if resume and output == STDOUT:
            raise UsageError("--resume goes on with a file; name it with --output")
        name: str | None = "json" if json else format_
        if name is None and output == STDOUT:
            name = "table" if sys.stdout.isatty() else "csv"
        if name is None:
            by_suffix = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}
            name = by_suffix.get(output.suffix.lower(), "csv")
        if name == "table" and output != STDOUT:
            raise UsageError("a table for people goes to stdout; give --output csv, json or jsonl")
        chosen = None if name == "table" else Format(name)
        if resume and chosen is not None and not chosen.goes_on:
            raise UsageError("--resume goes on with csv and jsonl; json is one list")
        return cls(output, chosen, kind, overwrite, resume)

    @property
    def shares_terminal(self) -> bool:
        """Whether rows and progress are on one screen."""
        return self.output == STDOUT and sys.stdout.isatty()

    def require_free(self, inputs: Sequence[Path]) -> None:
        """Makes sure that the output replaces nothing but an earlier one.

        Raises:
            OutputExistsError: If it would.
            UsageError: If an earlier call was stopped, and it is not said what to do about it.
        """
        from pixelbayes.workflows.growing import unfinished
        from pixelbayes.workflows.outputs import require_free

        if self.output == STDOUT:
            return
        replaces = self.overwrite or self.resume
        require_free(self.output, self.kind, overwrite=replaces, inputs=inputs)
        partial = unfinished(self.output)
        if partial.is_file() and partial.stat().st_size == 0:  # killed before its first row
            partial.unlink()
        require_free(partial, self.kind, overwrite=True, inputs=inputs)
        if partial.is_file():
            if not replaces:
                raise UsageError(
                    f"{partial} is what a call wrote that was stopped; pass --resume to go on with "
                    "it, or --overwrite to begin anew"
                )
            if self.overwrite:
                partial.unlink()

    def files(
        self, model: Model, given: Sequence[str], processes: Processes, *, skip_bad: bool
    ) -> tuple[Inputs, ImageFiles]:
        """The images that arguments stand for; none of them is written over.

        Args:
            model: Reads them.
            given: Files, folders, tables; - is standard input.
            processes: Which share the work.
            skip_bad: Whether files that cannot be read are left out.

        Raises:
            UsageError: If several processes would have to share standard input, or as for
                `require_free`.
        """
        from pixelbayes.workflows.inputs import STDIN, find_inputs
        from pixelbayes.workflows.stream import ImageFiles

        if STDIN in map(Path, given) and processes.count > 1:
            raise UsageError(
                "several processes cannot share standard input; write the list to a file"
            )
        inputs = find_inputs(given, sys.stdin.buffer)
        read = [*map(Path, given), *inputs.images]
        processes.gathered(lambda: self.require_free(read) if processes.is_first else None)
        files = ImageFiles(model, inputs.images, skip_bad, inputs.content, processes=processes)
        return inputs, files

    def answer(
        self,
        files: ImageFiles,
        what: str,
        answer: Callable[[Sequence[Path], Any, Callable[[int], None]], Sequence[Row]],
        *,
        record: Callable[[Row], dict[str, Any]],
        people: Callable[[Sequence[Row]], None],
        seen: Callable[[Row], None],
        quiet: bool,
    ) -> Answered:
        """Computes, writes and shows the answers.

        Args:
            files: About which.
            what: Is being done.
            answer: As for `ImageFiles.parts`.
            record: Makes a record of a row.
            people: Shows rows to people, where there is no other format.
            seen: Called with each row of this call.
            quiet: Show no progress.
        """
        from pixelbayes.data import BadFile
        from pixelbayes.data.inputs import Conversions

        first = files.processes.is_first
        going_on = self._going_on(files, answer, record)
        bad = [BadFile(path, "left out before the stop") for path in going_on.passed]
        conversions = Conversions()
        if going_on.whole:
            terminal.note(f"nothing is left to do: {self.output} has all {going_on.rows} rows")
            return Answered(going_on.rows, 0, tuple(bad), conversions)
        if self.resume and going_on.rows and first:
            terminal.note(f"going on after {going_on.rows} rows")
        rows = going_on.rows
        with terminal.Progress() as progress:
            shown = progress if first and not quiet else None
            files.check(shown, first=going_on.chunk * files.chunk_size)
            with self._writer(going_on.rows, first) as writer:
                skipped = going_on.of_chunk
                for part in files.parts(what, answer, shown, first=going_on.chunk):
                    new = part.rows[skipped:]
                    skipped, rows = 0, rows + len(new)
                    for row in new:
                        seen(row)
                    with progress.hidden() if self.shares_terminal else nullcontext():
                        if writer is not None:
                            writer.write(map(record, new))
                        elif first:
                            people(new)
                    told = {file.path for file in bad}  # of a chunk that is read again
                    bad += [file for file in part.bad if file.path not in told]
                    conversions += part.conversions
        return Answered(rows, rows - going_on.rows, tuple(bad), conversions)

    def _going_on(
        self,
        files: ImageFiles,
        answer: Callable[[Sequence[Path], Any, Callable[[int], None]], Sequence[Row]],
        record: Callable[[Row], dict[str, Any]],
    ) -> GoingOn:
        from pixelbayes.workflows.growing import GoingOn, resumed

        def again(path: Path) -> dict[str, Any]:
            one = replace(files, paths=[path], processes=type(files.processes)())
            one.check()
            parts: Iterator[Part[Row]] = one.parts("", answer)
            rows = next(parts).rows
            return record(rows[0]) if rows else {}  # it cannot be read any more

        def found() -> GoingOn:
            if not self.resume or not files.processes.is_first or self.format is None:
                return GoingOn()
            return resumed(
                self.output,
                self.format,
                files.paths,
                chunk=files.chunk_size,
                skip_bad=files.skip_bad,
                again=again,
            )

        return files.processes.gathered(found)[0]

    @contextmanager
    def _writer(self, rows: int, first: bool) -> Iterator[RecordWriter | None]:
        """Writes rows; None where they are only shown, or another process writes."""
        from pixelbayes.workflows.growing import growing, unfinished
        from pixelbayes.workflows.records import RecordWriter

        if self.format is None or not first:
            yield None
        elif self.output == STDOUT:
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape", newline="")
            writer = RecordWriter(sys.stdout, self.format)
            yield writer
            writer.end()
        elif self.output.exists() and not self.output.is_file():  # a pipe keeps nothing
            with self.output.open(
                "w", encoding="utf-8", errors="surrogateescape", newline=""
            ) as file:
                writer = RecordWriter(file, self.format)
                yield writer
                writer.end()
        else:
            partial = unfinished(self.output)
            try:
                with growing(self.output, keeps=self.format.goes_on) as file:
                    writer = RecordWriter(file, self.format, rows)
                    yield writer
                    writer.end()
            except BaseException:
                if partial.is_file():
                    terminal.note(f"{partial} keeps what is done; add --resume to go on after it")
                raise


def tell_left_out(inputs: Inputs, answered: Answered) -> None:
    """Says which files have no row, and what was done to the others."""
    tell_files("not used, no image or hidden", inputs.others)
    tell_files("left out, cannot be read", answered.bad)
    for sentence in answered.conversions.sentences():
        terminal.note(sentence)


def tell_unlike(model: Model, answered: Answered, unlike: int, worse: int) -> None:
    """Says how many images the model does not know.

    Args:
        model: With its thresholds, where it was calibrated.
        answered: About how many images.
        unlike: How many are unlike the training data.
        worse: How many of them need more bits than under a model that knows nothing.
    """
    from pixelbayes.models.decisions import UNLIKE_BY
    from pixelbayes.models.prediction import UNIFORM

    if unlike > worse and model.decisions is not None:
        rate = model.decisions.outlier_rule(UNLIKE_BY).false_alarm_rate
        terminal.note(
            f"unlike the training data: {unlike} of {answered.new} images, by code length beside a "
            f"PNG's; of familiar ones about {100 * rate:g} % are called so"
        )
    if worse:
        terminal.note(
            f"unlike anything the model knows: {worse} of {answered.new} images need more than "
            f"{UNIFORM:g} bits/dim, worse than uniform"
        )


def tell_files(what: str, files: Sequence[object]) -> None:
    """Names some of the files to which something happened, if there are any."""
    if files:
        terminal.note(f"{what} ({len(files)}):")
        for file in files[:SHOWN]:
            terminal.note(f"  {file}")
        if len(files) > SHOWN:
            terminal.note(f"  ... and {len(files) - SHOWN} more")
