"""Where a study lies: its configuration; its directory, and what that knows of the study."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pixelbayes.data import SplitRecord
from pixelbayes.io import write_whole
from pixelbayes.report import ModelResult
from pixelbayes.workflows.config import DataConfig
from pixelbayes.workflows.runs import Run, is_new
from pixelbayes.workflows.study.cache import Cache
from pixelbayes.workflows.study.config import STUDY_YAML, StudyConfig

__all__ = ["StudyDirectory", "output_folder"]

STATE, MEASURED = "study.json", "measured"
FILES = "files"  # entry of study.json


def output_folder(config: Path) -> Path:
    """Where a study goes if nothing is said: runs/NAME, or beside its own study.yaml."""
    inside = config.name == STUDY_YAML and (config.parent / STATE).is_file()
    return config.parent if inside else Path("runs") / config.stem


class StudyDirectory:
    """The directory of a study.

    Args:
        path: The directory; made with the first file in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def run_path(self, model: str, seed: int) -> Path:
        """Where the run of a model with a seed is."""
        return self.path / model / f"seed-{seed}"

    def seeds(self, model: str) -> list[int]:
        """Seeds of which there are runs of a model, ascending."""
        names = [folder.name for folder in (self.path / model).glob("seed-*") if folder.is_dir()]
        return sorted(int(name[5:]) for name in names if name[5:].isdecimal())

    def record_of(self, data: DataConfig) -> SplitRecord | None:
        """The splits of the first run on these data, which all models of the study keep to."""
        for path in sorted(self.path.glob("*/seed-*/run.json")):
            if is_new(path.parent):  # killed before its training began
                continue
            run = Run.open(path.parent)
            record = (
                run.split() if replace(run.config.data, data_dir=data.data_dir) == data else None
            )
            if record is not None:
                return record
        return None

    @staticmethod
    def cache(run: Path) -> Cache:
        """What has been computed for a run."""
        return Cache(run / MEASURED)

    @property
    def provenance(self) -> dict[str, Any]:
        """Command, commit, machine and date of the last call that trained or measured."""
        found: dict[str, Any] = self._state().get("provenance", {})
        return found

    def begin(self, provenance: Mapping[str, Any]) -> None:
        """Notes the call that trains and measures from now on."""
        self._write_state({**self._state(), "provenance": dict(provenance)})

    def write_config(self, config: StudyConfig) -> None:
        """Writes study.yaml, everything resolved."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.path / STUDY_YAML, config.to_yaml())

    def write_state(
        self,
        config: StudyConfig,
        results: Sequence[ModelResult],
        measured: Mapping[str, Path],
        missing: Sequence[str],
    ) -> None:
        """Writes study.json: how far each model is with each seed.

        Args:
            config: The study.
            results: All there are.
            measured: Those of them that are complete, by `comparisons.label`.
            missing: What a call has not done, and why.
        """
        models: dict[str, dict[str, Any]] = {name: {} for name in config.models}
        for result in results:
            complete = self.run_path(result.name, result.seed) in measured.values()
            trained = "trained" if result.finished else "unfinished"
            models[result.name][str(result.seed)] = {
                "status": "measured" if complete else trained,
                "epochs": result.epochs,
                "best_epoch": result.best_epoch,
                **{key: result.provenance.get(key) for key in ("command", "commit")},
            }
        state = {"title": config.title, "config": STUDY_YAML, "models": models}
        self._write_state({**self._state(), **state, "missing": list(missing)})

    def replace_files(self, files: Sequence[Path]) -> None:
        """Removes tables and figures of an earlier call that this one has not written.

        Args:
            files: All that it has written.
        """
        state = self._state()
        noted = state.get(FILES)
        earlier = {self.path / str(name) for name in noted} if isinstance(noted, list) else set()
        for path in earlier - {*files}:
            if path.parent in (self.path / "figures", self.path / "tables"):
                path.unlink(missing_ok=True)
        names = sorted(path.relative_to(self.path).as_posix() for path in files)
        self._write_state({**state, FILES: names})

    def _state(self) -> dict[str, Any]:
        try:
            content = json.loads((self.path / STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _write_state(self, state: Mapping[str, Any]) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.path / STATE, json.dumps(state, indent=2, ensure_ascii=False) + "\n")
