"""The configuration of a study: one YAML file that is the experiment.

    title: Four fusions and a ResNet-18
    seeds: [0]
    base:                                     # what all models share
      data: {data: cpen455}
      network: {features: 80, blocks_per_stage: 3}
    models:                                   # what each of them changes
      early: {network: {fusion: early}}
      gated-long: {network: {fusion: gated}, training: {epochs: 300}}
      resnet18: {model: resnet18, optim: {lr: 0.001}}
      shipped: {checkpoint: cpen455-gated}    # a trained model, measured as it is
      both: {ensemble: [early, resnet18]}
    published: cpen455
    samples_per_class: 25
    fid: {dims: [64, 192, 2048], reference_size: [64, 64]}

A model is a configuration of its run, a `RunConfig`; or a `CheckpointConfig`, which names a trained
model; or an `EnsembleConfig`, which names other models of the study.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from pixelbayes.data import open_source
from pixelbayes.errors import PixelBayesError
from pixelbayes.evaluation.frechet import RESAMPLES
from pixelbayes.io import plain
from pixelbayes.report import published_study
from pixelbayes.training.config import require_count
from pixelbayes.workflows.config import (
    Configuration,
    DataConfig,
    RunConfig,
    RunError,
    in_words_of_today,
    read_configuration,
    require_seed,
    require_size,
)

__all__ = [
    "CheckpointConfig",
    "EnsembleConfig",
    "FIDConfig",
    "ModelConfig",
    "StudyConfig",
]

RESERVED = ("tables", "figures", "features")
"""Folders of the study directory that hold something else than a model."""
STUDY_YAML = "study.yaml"
PROTOCOLS = ("course", "matched")


@dataclass(frozen=True, kw_only=True)
class FIDConfig(Configuration):
    """How generated images are compared with real ones; see `pixelbayes.evaluation.fid`.

    Raises:
        RunError: On construction, if a field has a value that is not accepted.
    """

    protocols: tuple[str, ...] = PROTOCOLS
    """course (samples_per_class images, 192 features) and matched (as many as real ones)."""
    dims: tuple[int, ...] = (64, 192, 2048)
    """Numbers of features of the matched protocol; those that the network lacks are left out."""
    reference_size: tuple[int, int] | None = None
    """Rows and columns of the course protocol's real images.  None: the model's own size."""
    bootstrap: int = RESAMPLES
    """Resamples of the bootstrap that tells by how much too few images raise FID."""

    def __post_init__(self) -> None:
        for name in ("protocols", "dims"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.reference_size is not None:
            size = require_size("fid.reference_size", self.reference_size)
            object.__setattr__(self, "reference_size", size)
        unknown = [name for name in self.protocols if name not in PROTOCOLS]
        if unknown or not self.protocols:
            raise RunError(
                f"fid.protocols are any of: {', '.join(PROTOCOLS)}; got {list(self.protocols)}"
            )
        for name, values in (("dims", self.dims), ("bootstrap", (self.bootstrap,))):
            for value in values or (None,):
                require_count(f"fid.{name}", value, 1, RunError)


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig(Configuration):
    """A model that is put together from others of the study, of the same seed.

    Raises:
        RunError: On construction, if there are fewer than two, or none of a mirrored one.
    """

    ensemble: tuple[str, ...]
    """Names of the members."""
    mirrored: bool = False
    """Whether members are asked about mirror images, too."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ensemble", tuple(self.ensemble))
        if not isinstance(self.mirrored, bool):
            raise RunError(f"mirrored is true or false, got {self.mirrored!r}")
        if len(self.ensemble) < (1 if self.mirrored else 2):
            raise RunError(
                f"an ensemble has two members or more, or is mirrored, got {list(self.ensemble)}"
            )


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig(Configuration):
    """A model that was trained elsewhere and is measured as it is, with every seed of the study.

    Raises:
        RunError: On construction, if no model is named.
    """

    checkpoint: str
    """A run, a checkpoint folder, or the name of a shipped model."""
    data: DataConfig = field(default_factory=DataConfig)
    """What it is measured on."""

    def __post_init__(self) -> None:
        if not isinstance(self.checkpoint, str) or not self.checkpoint:
            raise RunError(f"checkpoint names a trained model, got {self.checkpoint!r}")


ModelConfig = RunConfig | CheckpointConfig | EnsembleConfig


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
        object.__setattr__(self, "seeds", tuple(require_seed(seed) for seed in self.seeds))
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise RunError(f"seeds are one or more different numbers, got {list(self.seeds)}")
        if not self.models:
            raise RunError("a study has one or more models; list them under the key models")
        require_count("samples_per_class", self.samples_per_class, 2, RunError)
        try:
            published_study(self.published)
        except PixelBayesError as error:
            raise RunError(f"published: {error}") from error
        for name, model in self.models.items():
            _check_name(name)
            if isinstance(model, EnsembleConfig):
                self._check_members(name, model.ensemble)
            elif isinstance(model, RunConfig):
                _check_run(name, model)

    def _check_members(self, name: str, members: tuple[str, ...]) -> None:
        single = [
            other for other, config in self.models.items() if not isinstance(config, EnsembleConfig)
        ]
        strangers = [member for member in members if member not in single]
        if strangers:
            raise RunError(
                f"models.{name}: an ensemble is made of models of the study that are no ensembles: "
                f"{', '.join(single)}; got {strangers[0]!r}"
            )

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
        RunConfig.from_plain(content.base, f"base in {origin}")
        base = in_words_of_today(content.base, f"base in {origin}")
        models: dict[str, ModelConfig] = {}
        for key, changes in content.models.items():
            name = _name(key, origin)
            if name in models:
                raise RunError(f"models in {origin} has {name!r} twice; keep one of them")
            models[name] = _model(base, changes, f"models.{name} in {origin}")
            if not isinstance(config := models[name], EnsembleConfig):
                _check_source(config.data, f"models.{name} in {origin}")
        fid = content.fid
        try:
            return cls(
                title=content.title or Path(origin).stem,
                seeds=tuple(content.seeds),
                models=models,
                published=content.published,
                samples_per_class=content.samples_per_class,
                fid=None if fid is None else FIDConfig.from_plain(fid, f"fid in {origin}"),
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
            models[name] = plain(model)
            models[name].pop("seed", None)
        content = {
            "title": self.title,
            "seeds": list(self.seeds),
            "models": models,
            "published": self.published,
            "samples_per_class": self.samples_per_class,
            "fid": plain(self.fid),
        }
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)

    def model(self, name: str, seed: int) -> ModelConfig:
        """Configuration of one model with a seed."""
        config = self.models[name]
        return replace(config, seed=seed) if isinstance(config, RunConfig) else config

    def data_of(self, name: str) -> DataConfig:
        """What a model is measured on; an ensemble, on the data of its first member."""
        config = self.models[name]
        if isinstance(config, EnsembleConfig):
            return self.data_of(config.ensemble[0])
        return config.data

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
            if isinstance(model, EnsembleConfig):
                models[name] = model
                continue
            data = model.data
            if data_dir is not None:
                data = replace(data, data_dir=str(data_dir))
            if isinstance(model, CheckpointConfig):
                models[name] = replace(model, data=data)
                continue
            cap = model.training.epochs if epochs is None else min(epochs, model.training.epochs)
            try:
                training = replace(model.training, epochs=cap, **settings)  # type: ignore[arg-type]
            except PixelBayesError as error:
                raise RunError(str(error)) from error
            models[name] = replace(model, training=training, data=data)
        return replace(self, models=models, seeds=self.seeds if seeds is None else tuple(seeds))


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
    if not isinstance(changes, dict | None):
        raise RunError(f"{origin} holds names and values, got {changes!r}")
    changes = changes or {}
    if "seed" in changes:
        raise RunError(f"{origin} has no seed of its own; list the seeds under the key seeds")
    if "ensemble" in changes:
        return EnsembleConfig.from_plain(changes, origin)
    if "checkpoint" in changes:
        return CheckpointConfig.from_plain(
            {**changes, "data": _section(base.get("data"), changes.get("data"))}, origin
        )
    changes = in_words_of_today(changes, origin)
    other_kind = changes.get("model", base.get("model")) != base.get("model")
    merged = {
        name: section
        for name, section in base.items()
        if not (name == "network" and other_kind)  # another kind has other settings
    }
    for name, section in changes.items():
        merged[name] = _section(merged.get(name), section)
    return RunConfig.from_plain(merged, origin)


def _section(base: Any, changes: Any) -> Any:
    """A section of the base with the changes put in; what is no section takes its place."""
    if changes is None:
        return {} if base is None else base
    both = isinstance(base, dict) and isinstance(changes, dict)
    return {**base, **changes} if both else changes


def _name(key: Any, origin: str) -> str:
    """A model's name, which YAML may have read as something else than a text."""
    if key is None or isinstance(key, bool):
        raise RunError(
            f"a model in {origin} has the name {key!r} for YAML, which reads on, off, yes, no and "
            "null so; put the name into quotes"
        )
    return str(key)


def _check_name(name: str) -> None:
    if not re.fullmatch(r"\w[\w.-]*", name) or name in RESERVED:
        raise RunError(
            f"a model's name becomes a folder: letters, digits, - and _, and none of "
            f"{', '.join(RESERVED)}; got {name!r}"
        )


def _check_source(data: DataConfig, origin: str) -> None:
    """Refuses a folder for images that have none."""
    try:
        open_source(data.data, data_dir=data.data_dir)
    except PixelBayesError as error:
        raise RunError(f"{error} @ {origin}") from error


def _check_run(name: str, model: RunConfig) -> None:
    """Refuses what could not be trained, before anything is."""
    try:
        model.kind.check(model.network)
    except PixelBayesError as error:
        raise RunError(f"models.{name}: {error}") from error
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
