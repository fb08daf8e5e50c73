"""What every kind of model gives, and that a new kind needs no line elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelbayes.data import ImageDataset, Resize
from pixelbayes.io import plain
from pixelbayes.models import MODELS, Ensemble, Metadata, Model, TrainedNetwork, load_model
from pixelbayes.models.storage import Stored
from pixelbayes.training import TrainingConfig
from pixelbayes.workflows import DataConfig, Run, RunConfig
from pixelbayes.workflows.evaluate import evaluate, evaluate_saved
from pixelbayes.workflows.loading import load_data
from pixelbayes.workflows.publish import card
from pixelbayes.workflows.study import StudyConfig, study
from pixelbayes.workflows.train import train

CLASSES = tuple(map(str, range(10)))
METADATA = Metadata(
    classes=CLASSES,
    resize=plain(Resize(size=(8, 8))),
    log_prior=(log(0.1),) * 10,
    temperature=3.0,
    provenance={"seed": 1},
)


@dataclass(frozen=True, kw_only=True)
class ToySettings:
    """What may be chosen of a toy."""

    scale: float = 1.0


class LinearSoftmax(nn.Module):
    """log softmax(W x + b) on the levels."""

    def __init__(self, classes: int, dims: int, scale: float) -> None:
        super().__init__()
        self.linear, self.scale = nn.Linear(dims, classes), scale

    def forward(self, levels: Tensor) -> Tensor:
        x = levels.flatten(1).to(self.linear.weight.dtype) * (self.scale / 255)
        return F.log_softmax(self.linear(x), dim=1)


class Toy(TrainedNetwork[LinearSoftmax]):
    """A discriminative kind."""

    kind = "toy"
    noun = "toy"
    settings = ToySettings
    is_density = False

    @classmethod
    def build(
        cls, settings: Any, *, classes: int, channels: int, image_size: tuple[int, int]
    ) -> LinearSoftmax:
        return LinearSoftmax(classes, channels * image_size[0] * image_size[1], settings.scale)

    @property
    def channels(self) -> int:
        rows, columns = self.image_size
        return self.network.linear.in_features // (rows * columns)

    def log_likelihoods(
        self, levels: Tensor, *, progress: Callable[[int], None] | None = None
    ) -> Tensor:
        with torch.no_grad():
            return self.network(levels).double() - self.log_prior

    def to_stored(self) -> Stored:
        config = {"dims": self.network.linear.in_features, "scale": self.network.scale}
        return Stored(
            kind=self.kind,
            config=config,
            metadata=self.metadata,
            weights=self.network.state_dict(),
        )

    @classmethod
    def from_stored(cls, stored: Stored) -> Toy:
        network = LinearSoftmax(len(stored.metadata.classes), **stored.config)
        network.load_state_dict(dict(stored.weights))
        return cls(network, stored.metadata)


@dataclass(frozen=True)
class Levels:
    """Independent pixels: a categorical distribution of 16 bins of 16 levels at each place."""

    log_bins: Tensor  # (B, D, 16)

    def log_prob(self, levels: Tensor) -> Tensor:
        bins = (levels.flatten(1) // 16).long()
        return (self.log_bins.gather(2, bins[..., None])[..., 0] - log(16)).sum(dim=1)


class Frequencies(nn.Module):
    """The bins' logits of each class."""

    def __init__(self, classes: int, dims: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(classes, dims, 16))

    def forward(self, levels: Tensor, labels: Tensor) -> Levels:
        return Levels(F.log_softmax(self.logits, dim=2)[labels])


@dataclass(frozen=True, kw_only=True)
class NoSettings:
    """Nothing to choose."""


class ToyDensity(TrainedNetwork[Frequencies]):
    """A generative kind: its log-likelihoods are those of images, so it has a code length."""

    kind = "toy-density"
    noun = "toy density"
    settings = NoSettings
    is_density = True
    can_sample = True

    @classmethod
    def build(
        cls, settings: Any, *, classes: int, channels: int, image_size: tuple[int, int]
    ) -> Frequencies:
        return Frequencies(classes, channels * image_size[0] * image_size[1])

    @property
    def channels(self) -> int:
        return self.dims // (self.image_size[0] * self.image_size[1])

    @property
    def dims(self) -> int:
        return self.network.logits.shape[1]

    def log_likelihoods(
        self, levels: Tensor, *, progress: Callable[[int], None] | None = None
    ) -> Tensor:
        columns = []
        with torch.no_grad():
            for label in range(len(self.classes)):
                labels = torch.full((len(levels),), label)
                columns.append(self.network(levels, labels).log_prob(levels).double())
        return torch.stack(columns, dim=1)

    def draw(
        self, labels: Tensor, generator: torch.Generator, on_row: Any = None, **_: float
    ) -> Tensor:
        bins = F.softmax(self.network.logits[labels], dim=2).flatten(0, 1)
        drawn = torch.multinomial(bins.detach(), 1, generator=generator)[:, 0] * 16
        return drawn.to(torch.uint8).view(len(labels), self.channels, *self.image_size)

    def to_stored(self) -> Stored:
        return Stored(
            kind=self.kind,
            config={"dims": self.dims},
            metadata=self.metadata,
            weights=self.network.state_dict(),
        )

    @classmethod
    def from_stored(cls, stored: Stored) -> ToyDensity:
        network = Frequencies(len(stored.metadata.classes), **stored.config)
        network.load_state_dict(dict(stored.weights))
        return cls(network, stored.metadata)


TOYS = (Toy, ToyDensity)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two new kinds, known by nothing but their entry in the table of kinds."""
    for toy in TOYS:
        monkeypatch.setitem(MODELS, toy.kind, toy)


QUICK: dict[str, dict[str, int]] = {
    "pixelcnn": {"features": 8, "mixtures": 2, "embedding": 4},
    "diffusion": {"blocks_per_stage": 1, "evaluations": 2, "steps": 10},
}
"""Settings where the defaults only cost time: wide networks, many passes."""


def a_model(kind: str, seed: int = 0) -> Model:
    """A model of a kind for the digits: 8 x 8, grey, ten classes, random weights."""
    cls = MODELS[kind]
    if not issubclass(cls, TrainedNetwork):
        assert cls is Ensemble, "a kind that is neither a network nor the ensemble"
        members = [a_model("pixelcnn", seed=number) for number in (1, 2)]
        return Ensemble(members, METADATA)
    if kind == "resnet18":
        pytest.importorskip("monai", reason="the extra baselines is not installed")
    if kind == "diffusion":
        pytest.importorskip("diffusers", reason="the extra diffusion is not installed")
    torch.manual_seed(seed)
    settings = cls.settings(**QUICK.get(kind, {}))
    network = cls.build(settings, classes=10, channels=1, image_size=(8, 8))
    with torch.no_grad():
        for weight in network.parameters():  # label projections begin with zeros
            weight.add_(0.05 * torch.randn_like(weight))
    return cls(network, METADATA)


@pytest.fixture(scope="module")
def digits() -> ImageDataset:
    return load_data(DataConfig(limit=20))


@pytest.fixture(params=[*MODELS, *(toy.kind for toy in TOYS)])
def model(request: pytest.FixtureRequest, toys: None) -> Model:
    return a_model(request.param)


def test_a_loaded_model_answers_bit_for_bit_as_the_saved_one(
    model: Model, digits: ImageDataset, tmp_path: Path
) -> None:
    levels = digits.split("test").levels
    model.save(tmp_path / "best")

    loaded = load_model(tmp_path)  # a run directory, whose best it is

    assert type(loaded) is type(model)
    assert loaded.metadata == model.metadata
    assert torch.equal(loaded.log_likelihoods(levels), model.log_likelihoods(levels))
    assert loaded.describe() == model.describe()
    before, after = model.to_stored(), loaded.to_stored()
    assert before.weights.keys() == after.weights.keys()
    for name, weight in before.weights.items():
        assert torch.equal(after.weights[name], weight), name
        assert after.weights[name].dtype == weight.dtype, name


def test_class_probabilities_sum_to_one(model: Model, digits: ImageDataset) -> None:
    levels = digits.split("test").levels

    posterior = model.predict_log_proba(levels)

    assert posterior.shape == (len(levels), 10)
    assert posterior.dtype == torch.float64
    torch.testing.assert_close(posterior.exp().sum(dim=1), torch.ones(len(levels)).double())
    indices = [answer.index for answer in model.predict(levels)]
    assert indices == posterior.argmax(dim=1).tolist()


def test_log_likelihoods_do_not_depend_on_the_images_beside(
    model: Model, digits: ImageDataset
) -> None:
    levels = digits.split("test").levels
    together = model.log_likelihoods(levels)

    assert together.device.type == "cpu"
    assert together.dtype == torch.float64
    alone = torch.cat([model.log_likelihoods(one[None]) for one in levels[:3]])
    torch.testing.assert_close(alone, together[:3], rtol=1e-5, atol=1e-3)


def test_nats_are_the_code_length_of_a_density_and_else_the_log_loss(
    model: Model, digits: ImageDataset
) -> None:
    levels, labels = digits.split("test").levels, digits.split("test").labels
    table = model.log_likelihoods(levels)
    if model.dims is None:
        table = torch.log_softmax(table + model.log_prior, dim=1)
    else:
        assert model.dims == model.channels * 64

    expected = -table.gather(1, labels[:, None])[:, 0]

    torch.testing.assert_close(model.nats(levels, labels), expected, rtol=1e-5, atol=1e-3)


def test_a_temperature_divides_what_the_image_says(model: Model, digits: ImageDataset) -> None:
    levels = digits.split("test").levels
    table = model.log_likelihoods(levels)

    hot = model.with_temperature(50.0)

    assert (hot.temperature, model.temperature) == (50.0, 3.0)
    torch.testing.assert_close(hot.log_likelihoods(levels), table, rtol=0, atol=0)
    expected = torch.log_softmax(table / 50.0 + model.log_prior, dim=1)
    torch.testing.assert_close(hot.predict_log_proba(levels), expected)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_positive_is_refused(model: Model, temperature: float) -> None:
    with pytest.raises(ValueError, match="the temperature is positive"):
        model.with_temperature(temperature)


def test_what_a_model_says_of_itself_is_plain(model: Model) -> None:
    described = model.describe()

    assert described["parameters"] == model.parameters > 0
    json.dumps(described)
    assert model.title
    assert model.summary


def test_a_model_is_drawn_from_where_it_can_be_and_else_says_so(model: Model) -> None:
    labels = torch.tensor([3, 3, 0])
    if not model.can_sample:
        with pytest.raises(ValueError, match=r"p\(image \| class\)"):
            model.draw(labels, torch.Generator())
        return
    drawn, again = (model.draw(labels, torch.Generator().manual_seed(5)) for _ in range(2))
    assert drawn.shape == (3, 1, 8, 8)
    assert drawn.dtype == torch.uint8
    assert torch.equal(drawn, again)


def test_evaluation_predictions_and_card_know_no_kind(
    model: Model, digits: ImageDataset, photo_folder: Callable[[int], Path], tmp_path: Path
) -> None:
    report = evaluate(model, digits, samples_per_class=1)

    test = report.splits["test"]
    assert report.temperature is not None
    calibrated = model.with_temperature(report.temperature)
    predicted = calibrated.predict_proba(digits.split("test").levels).argmax(dim=1)
    right = predicted == digits.split("test").labels
    assert test.accuracy.value == pytest.approx(100 * right.double().mean().item())
    assert ("bits_per_dim" not in test.measures) == (model.dims is None)
    assert bool(report.samples) == model.can_sample
    assert any("upper bound" in note for note in report.notes) != model.is_exact

    photos = sorted(photo_folder(2).iterdir())
    predictions = model.predict(photos)
    assert [prediction.source for prediction in predictions] == [str(photo) for photo in photos]
    for prediction in predictions:
        assert sum(prediction.probabilities.values()) == pytest.approx(1.0)
        assert (prediction.bits_per_dim is None) == (model.dims is None)

    run = Run.create(tmp_path / "run", RunConfig(data=DataConfig(limit=20)))
    text = card("a-name", model, run, report)
    assert model.summary in text
    assert f"| parameters | {model.parameters} |" in text
    assert ("pixelbayes sample --model a-name" in text) == model.can_sample


def training(epochs: int = 2) -> TrainingConfig:
    return TrainingConfig(batch_size=10, epochs=epochs, accuracy_images=5, patience=None)


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("toy", TOYS)
def test_a_kind_that_is_only_in_the_table_of_kinds_is_trained_and_evaluated(
    toy: type[TrainedNetwork[Any]], tmp_path: Path
) -> None:
    config = RunConfig(model=toy.kind, data=DataConfig(limit=40), training=training(3))
    config = replace(config, optim=replace(config.optim, lr=0.1))

    run = train(config, tmp_path / "run", progress=False)

    assert Run.open(run.path).config == config
    assert (run.info["kind"], run.info["status"]) == (toy.kind, "finished")
    column = "val/bits_per_dim" if toy.is_density else "val/log_loss"
    curve = run.metrics()[column]
    assert curve[-1] < curve[0]
    report = evaluate_saved(run.path, samples_per_class=1)
    assert load_model(run.path).temperature == report.temperature
    assert report.splits["test"].accuracy.n == 40
    measured = load_model(run.last)
    images = load_data(config.data).split("validation")
    nats = measured.nats(images.levels, images.labels).mean().item()
    per = measured.dims * log(2) if measured.dims else 1.0
    assert curve[-1] == pytest.approx(nats / per, rel=1e-5)


@pytest.mark.usefixtures("toys")
def test_a_kind_that_is_only_in_the_table_of_kinds_is_resumed(tmp_path: Path) -> None:
    config = RunConfig(model="toy", data=DataConfig(limit=40), training=training(1))
    train(config, tmp_path / "run", progress=False)
    longer = replace(config, training=training(2))

    resumed = train(longer, tmp_path / "run", resume=True, progress=False)

    whole = train(longer, tmp_path / "whole", progress=False)
    files = [(run.last / "model.safetensors").read_bytes() for run in (resumed, whole)]
    assert files[0] == files[1]


STUDY = """
title: Toys
base:
  data: {data: digits, limit: 20}
  training: {epochs: 1, batch_size: 10, accuracy_images: 0}
models:
  linear: {model: toy, network: {scale: 2.0}}
  gated: {network: {features: 4, mixtures: 1, embedding: 2, dropout: 0.0}}
  both: {ensemble: [linear, gated]}
samples_per_class: 2
"""


@pytest.mark.usefixtures("toys")
def test_a_kind_that_is_only_in_the_table_of_kinds_is_studied_alone_and_in_an_ensemble(
    tmp_path: Path,
) -> None:
    config = StudyConfig.from_yaml(STUDY)

    outcome = study(config, tmp_path / "study", show_training=False)

    assert (outcome.missing, outcome.failed) == ([], False)
    found = {result.name: result for result in outcome.results}
    assert {name: result.kind for name, result in found.items()} == {
        "linear": "toy",
        "gated": "pixelcnn",
        "both": "ensemble",
    }
    for result in found.values():
        assert result.splits["test"].accuracy.n == 20
        assert {"log_loss/raw", "log_loss/calibrated"} <= set(result.splits["test"].measures)
    assert found["both"].parameters == found["linear"].parameters + found["gated"].parameters
    ensemble = load_model(tmp_path / "study" / "both" / "seed-0")
    assert isinstance(ensemble, Ensemble)
    assert [member.kind for member in ensemble.members] == ["toy", "pixelcnn"]
    assert ensemble.temperature == found["both"].temperature
    assert (tmp_path / "study" / "index.html").is_file()
    again = study(config, tmp_path / "study", show_training=False)
    assert again.results == outcome.results
