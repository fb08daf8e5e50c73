"""Reports and results of studies as JSON, which everything that people read is made from.

A slash of a number's name opens a level: {"log_loss": {"raw": {...}}}.  A report has the numbers
by split and name, a result of a study by name and split.  JSON knows neither NaN nor infinity:
such a number becomes null (an estimate says beside it what it was) or, in the free-form tables,
its name as text.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from pixelbayes.evaluation.estimate import Estimate
from pixelbayes.io import FormatError, Reading, plain, read_json, structure, write_json
from pixelbayes.report.results import ModelResult, Report, ReportError, SplitResult, share

__all__ = [
    "from_json",
    "load",
    "load_result",
    "result_from_json",
    "result_to_json",
    "save_result",
    "to_json",
]

FORMAT = 1  # raised when a reader of the old files would misread the new ones
Structured = TypeVar("Structured")


def to_json(report: Report) -> dict[str, Any]:
    """Describes a report in values that strict JSON can hold; `from_json` reads it back."""
    described = {"format": FORMAT} | _described(report)
    described["accuracy"] = report.accuracy.to_json()
    described["splits"] = {name: _split_to_json(split) for name, split in report.splits.items()}
    return described


def from_json(described: Mapping[str, Any]) -> Report:
    """Rebuilds a report from what `to_json` returned, also that of version 0.1.

    Raises:
        ReportError: If the format is another one or a field is missing or malformed.
    """
    _check_format(described, "evaluate the model again to write a new report")
    content = {name: x for name, x in described.items() if name not in ("format", "accuracy")}
    if isinstance(content.get("splits"), Mapping):
        content["splits"] = {name: _split_content(x) for name, x in content["splits"].items()}
    return _structured(Report, content, "the report")


def result_to_json(result: ModelResult) -> dict[str, Any]:
    """Describes the result in values that strict JSON can hold."""
    described = {"format": FORMAT} | _described(result)
    by_split = {name: _split_to_json(split) for name, split in result.splits.items()}
    for name in ("accuracy", "bits_per_dim", "log_loss", "ece", "reliability"):
        described[name] = {}  # also where nothing was measured
    for split, content in by_split.items():
        for name, value in content.items():
            if name not in ("split", "n") and value:
                described.setdefault(name, {})[split] = value
    del described["splits"]
    described["scores"] = [score.to_json() for score in result.scores]
    return described


def result_from_json(described: Mapping[str, Any]) -> ModelResult:
    """Rebuilds what `result_to_json` described, or version 0.1.

    Raises:
        ReportError: If the format is another one or a field is missing or malformed.
    """
    _check_format(described, "run the study again to evaluate the model anew")
    known = {entry.name for entry in fields(ModelResult)}
    content = {name: value for name, value in described.items() if name in known}
    splits: dict[str, dict[str, Any]] = {}
    for name, by_split in described.items():
        if name not in known and isinstance(by_split, Mapping):
            for split, value in by_split.items():
                splits.setdefault(split, {})[name] = value
    for split, measured in splits.items():
        measured |= {"split": split, "n": _first_count(measured.values())}
    content["splits"] = {name: _split_content(split) for name, split in splits.items()}
    samples = content.get("epoch_samples", {})
    content["epoch_samples"] = {int(epoch): png for epoch, png in samples.items()}
    return _structured(ModelResult, content, "the result")


def load(path: Path) -> Report:
    """Reads a report back.

    Args:
        path: A `report.json`, or the folder that holds it.

    Raises:
        FileNotFoundError: If there is no such file.
        ReportError: If it is not a report of this format; the message names the file.
    """
    path = path / "report.json" if path.is_dir() else path
    try:
        return from_json(read_json(path, "a report"))
    except (FormatError, ReportError) as error:
        raise ReportError(f"{path}: {error}") from error


def load_result(path: Path) -> ModelResult:
    """Reads the result of a study's model back.

    Raises:
        FileNotFoundError: If there is no such file.
        ReportError: If it is not a result of this format; the message names the file.
    """
    try:
        return result_from_json(read_json(path, "a result of a study"))
    except (FormatError, ReportError) as error:
        raise ReportError(f"{path}: {error}") from error


def save_result(result: ModelResult, path: Path) -> None:
    """Writes a result as JSON; the file appears whole or not at all.

    Args:
        result: What to write.
        path: The file, by custom result.json in the run's directory; its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result_to_json(result))


def _described(found: Report | ModelResult) -> dict[str, Any]:
    """The fields in values that strict JSON can hold; `splits` and scores are not for it."""
    described = {
        entry.name: _strict(plain(getattr(found, entry.name)))
        for entry in fields(found)
        if entry.name not in ("splits", "scores")
    }
    described["splits"] = {}
    described["curves"] = {
        name: [None if x is None or not math.isfinite(x) else float(x) for x in column]
        for name, column in found.curves.items()
    }
    return described


def _strict(value: Any) -> Any:
    """The nearest value that strict JSON knows; what it cannot hold becomes text."""
    if isinstance(value, Mapping):
        if _is_estimate(value):
            return Estimate(**value).to_json()
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, numbers.Real):  # NumPy's scalars are among them
        x = int(value) if isinstance(value, numbers.Integral) else float(value)
        return x if math.isfinite(x) else str(x)
    return str(value)


def _is_estimate(value: Mapping[str, Any]) -> bool:
    return value.keys() - {"not_finite"} == {entry.name for entry in fields(Estimate)}


def _split_to_json(split: SplitResult) -> dict[str, Any]:
    described: dict[str, Any] = _strict(plain(replace(split, measures={})))
    del described["measures"]
    for name, estimate in split.measures.items():
        value: Any = estimate.to_json()
        if (estimate.low, estimate.high) == (-math.inf, math.inf):  # see `share`
            value = estimate.value if math.isfinite(estimate.value) else None
        family, slash, variant = name.partition("/")
        if slash:
            described.setdefault(family, {})[variant] = value
        else:
            described[family] = value
    return described


def _split_content(described: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a `SplitResult`: what is none of them is a measure."""
    known = {entry.name for entry in fields(SplitResult)}
    content = {name: value for name, value in described.items() if name in known}
    measures: dict[str, Any] = {}
    for name, value in described.items():
        if name in known:
            continue
        if isinstance(value, Mapping) and not _is_estimate(value):
            measures |= {f"{name}/{variant}": x for variant, x in value.items()}
        else:
            measures[name] = value
    for name, value in measures.items():
        if value is None or isinstance(value, (int, float)):
            x = math.nan if value is None else float(value)
            measures[name] = asdict(share(x, int(described.get("n", 0))))
    return {**content, "measures": measures}


def _first_count(values: Iterable[Any]) -> int:
    """The n of the first estimate among values of a split."""
    for value in values:
        if isinstance(value, Mapping):
            if isinstance(value.get("n"), int):
                return int(value["n"])
            if found := _first_count(value.values()):
                return found
    return 0


def _structured(cls: type[Structured], content: Any, what: str) -> Structured:
    try:
        return structure(cls, _restored(content), what, Reading.OLDER)
    except FormatError as error:
        raise ReportError(f"malformed: {error}") from error


def _restored(value: Any) -> Any:
    """Estimates with the numbers that JSON has no word for, wherever they are."""
    if isinstance(value, Mapping):
        if _is_estimate(value):
            named = value.get("not_finite", {})
            ends = {k: x for k, x in value.items() if k != "not_finite"}
            return {k: float(named.get(k, "nan")) if x is None else x for k, x in ends.items()}
        return {name: _restored(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_restored(item) for item in value]
    return value


def _check_format(described: Mapping[str, Any], remedy: str) -> None:
    if described.get("format") != FORMAT:
        raise ReportError(
            f"this version reads format {FORMAT}, got {described.get('format')!r}; {remedy}"
        )
