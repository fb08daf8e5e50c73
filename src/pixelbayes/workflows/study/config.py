"""The configuration of a study: one YAML file that is the experiment.

    title: Four fusions and a ResNet-18
    seeds: [0]
    base:                                     # what all models share
      data: {data: cpen455}
      network: {features: 80, blocks_per_stage: 3}
    models:                                   # what each of them changes
      early: {network: {fusion: early}}
      gated-long: {network: {fusion: gated}, training: {epochs: 300}}
      resnet18: {baseline: resnet18, optim: {lr: 0.001}}
    published: cpen455
    samples_per_class: 25
    fid: {dims: [64, 192, 2048], reference_size: [64, 64]}

A model is a configuration of its run: a `RunConfig`, or with `baseline` a `BaselineConfig`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from pixelbayes.report import published_study
from pixelbayes.workflows.baseline import BaselineConfig
from pixelbayes.workflows.configuration import (
    Configuration,
    RunError,
    read_configuration,
    require_seed,
)
from pixelbayes.workflows.runs import RunConfig
from pixelbayes.workflows.study.fid_config import FIDConfig, require_count

__all__ = ["FIDConfig", "ModelConfig", "StudyConfig", "output_folder"]

ModelConfig = RunConfig | BaselineConfig

BASELINES = ("resnet18",)
RESERVED = ("tables", "figures", "features")
"""Folders of the study directory that hold something else than a model."""
STUDY_YAML = "study.yaml"


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Which models are trained, with which seeds, and how they are measured.

    Raises:
        RunError: On construction, if a field has a value that is not accepted.
    """

    title: str
    seeds: tuple[int, ...] = (0,)
    models: Mapping[str, ModelConfig] = field(default_factory=dict)
    """By name, which is also the name of the model's folder; the seed in them does not count."""
    published: str | None = None
    """Name of the published figures that are set beside the study's."""
    samples_per_class: int = 25
    """Images of each class to generate, at least."""
    fid: FIDConfig | None = None
    """None: generated images are shown, not scored."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "seeds", tuple(self.seeds))
        for seed in self.seeds:
            require_seed(seed)
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise RunError(f"seeds are one or more different numbers, got {list(self.seeds)}")
        if not self.models:
            raise RunError("a study has one or more models; list them under the key models")
        require_count("samples_per_class", self.samples_per_class, 2)
        try:
            published_study(self.published)
        except ValueError as error:
            raise RunError(f"published: {error}") from error
        for name, model in self.models.items():
            _check_model(name, model)

    @classmethod
    def from_yaml(cls, text: str, origin: str = STUDY_YAML) -> StudyConfig:
        """Reads a configuration; what it does not mention has its default.

        Raises:
            RunError: If it is no such YAML, has unknown keys or values that are not accepted.
        """
        content = _File.from_yaml(text, origin)
        for name, kind in (("base", dict), ("models", dict), ("seeds", list)):
            if not isinstance(getattr(content, name), kind):
                what = "names and values" if kind is dict else "a list"
                raise RunError(f"{name} in {origin} holds {what}, got {getattr(content, name)!r}")
        if "seed" in content.base:
            raise RunError(f"base in {origin} has no seed; list the seeds under the key seeds")
        RunConfig.from_yaml(yaml.safe_dump(content.base), f"base in {origin}")
        models = {
            str(name): _model(content.base, changes, f"models.{name} in {origin}")
            for name, changes in content.models.items()
        }
        fid = content.fid
        try:
            return cls(
                title=content.title or Path(origin).stem,
                seeds=tuple(content.seeds),
                models=models,
                published=content.published,
                samples_per_class=content.samples_per_class,
                fid=None
                if fid is None
                else FIDConfig.from_yaml(yaml.safe_dump(fid), f"fid in {origin}"),
            )
        except RunError as error:
            raise RunError(str(error) if origin in str(error) else f"{origin}: {error}") from error

    @classmethod
    def read(cls, path: str | Path) -> StudyConfig:
        """Reads a configuration file.

        Raises:
            RunError: If it cannot be read, or as for `from_yaml`.
        """
        return cls.from_yaml(read_configuration(path), str(path))

    def to_yaml(self) -> str:
        """Returns text, with everything resolved, that `from_yaml` reads back."""
        models = {}
        for name, model in self.models.items():
            kind = {} if isinstance(model, RunConfig) else {"baseline": BASELINES[0]}
            models[name] = {**kind, **_resolved(model)}
            del models[name]["seed"]
        content = {
            "title": self.title,
            "seeds": list(self.seeds),
            "models": models,
            "published": self.published,
            "samples_per_class": self.samples_per_class,
            "fid": None if self.fid is None else _resolved(self.fid),
        }
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)

    def model(self, name: str, seed: int) -> ModelConfig:
        """Configuration of one run."""
        return replace(self.models[name], seed=seed)

    def chosen(self, names: Sequence[str] | None) -> tuple[str, ...]:
        """The models of these names in the order of the study; None: all of them.

        Raises:
            RunError: If there is no model of a name; the message lists them.
        """
        unknown = [name for name in names or () if name not in self.models]
        if unknown:
            raise RunError(
                f"no model {unknown[0]!r} in this study; choose from: {', '.join(self.models)}"
            )
        return tuple(name for name in self.models if names is None or name in names)

    def overridden(
        self,
        *,
        seeds: Sequence[int] | None = None,
        data_dir: str | Path | None = None,
        epochs: int | None = None,
        precision: str | None = None,
        accelerator: str | None = None,
    ) -> StudyConfig:
        """The study with these settings for all of its models.

        Args:
            seeds: Instead of the study's.
            data_dir: Folder of cpen455 or cifar10.
            epochs: At most so many; a model with fewer keeps them.
            precision: Of training.
            accelerator: Of training.

        Raises:
            RunError: If a value is not accepted.
        """
        given = {"precision": precision, "accelerator": accelerator}
        settings = {name: value for name, value in given.items() if value is not None}
        models: dict[str, ModelConfig] = {}
        for name, model in self.models.items():
            cap = model.training.epochs if epochs is None else min(epochs, model.training.epochs)
            try:
                training = replace(model.training, epochs=cap, **settings)  # type: ignore[arg-type]
            except ValueError as error:
                raise RunError(str(error)) from error
            data = model.data
            if data_dir is not None:
                data = replace(data, data_dir=str(data_dir))
            models[name] = replace(model, training=training, data=data)
        return replace(self, models=models, seeds=self.seeds if seeds is None else tuple(seeds))


def output_folder(config: Path) -> Path:
    """Where a study goes if nothing is said: runs/NAME, or beside its own study.yaml."""
    inside = config.name == STUDY_YAML and (config.parent / "study.json").is_file()
    return config.parent if inside else Path("runs") / config.stem


@dataclass(frozen=True, kw_only=True)
class _File(Configuration):
    """What a study's YAML may hold, not yet understood."""

    title: str = ""
    seeds: Any = field(default_factory=lambda: [0])
    base: Any = field(default_factory=dict)
    models: Any = field(default_factory=dict)
    published: Any = None
    samples_per_class: Any = 25
    fid: Any = None


def _model(base: Mapping[str, Any], changes: Any, origin: str) -> ModelConfig:
    """A model's run: the base with the changes put in, section by section."""
    if not isinstance(changes or {}, dict):
        raise RunError(f"{origin} holds names and values, got {changes!r}")
    changes = dict(changes or {})
    if "seed" in changes:
        raise RunError(f"{origin} has no seed of its own; list the seeds under the key seeds")
    baseline = changes.pop("baseline", None)
    if baseline not in (None, *BASELINES):
        raise RunError(f"{origin}: baseline is one of: {', '.join(BASELINES)}; got {baseline!r}")
    merged = {
        name: section
        for name, section in base.items()
        if baseline is None or name != "network"  # a ResNet-18 has no choice of its network
    }
    for name, section in changes.items():
        both = isinstance(section, dict) and isinstance(merged.get(name), dict)
        merged[name] = {**merged[name], **section} if both else section
    kind = RunConfig if baseline is None else BaselineConfig
    return kind.from_yaml(yaml.safe_dump(merged), origin)


def _resolved(config: Configuration) -> dict[str, Any]:
    """A configuration in the plain types of YAML."""
    content: dict[str, Any] = yaml.safe_load(config.to_yaml())
    return content


def _check_model(name: str, model: ModelConfig) -> None:
    """Refuses what could not be trained or stored, before anything is."""
    if not re.fullmatch(r"\w[\w.-]*", name) or name in RESERVED:
        raise RunError(
            f"a model's name becomes a folder: letters, digits, - and _, and none of "
            f"{', '.join(RESERVED)}; got {name!r}"
        )
    if model.training.max_time is not None:
        raise RunError(
            f"models.{name}: max_time belongs to a call, not to a study; leave it out and pass "
            "--max-time"
        )
    if model.training.devices * model.training.num_nodes > 1:
        raise RunError(
            f"models.{name}: a study trains on one device; train this model with 'pixelbayes train "
            f"--devices ... --output STUDY/{name}/seed-0', and the study takes the run over"
        )
